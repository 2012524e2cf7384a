//! The rules of a wallet against an oracle that knows only a list of entries.
