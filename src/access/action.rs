//! What can be done, as types: an action's name, what it needs, and what it is done to.

use super::permission::Permission;

/// A unit type for each thing that a caller can do.
pub trait Action: Send + Sync + 'static {
    /// As it stands in the trail: `profile_updated`.
    const NAME: &'static str;
    /// The module that it concerns, `core` for the record itself.
    const MODULE: &'static str = "core";
    const NEEDS: Permission;
    /// What the gate resolves the caller and path to.
    type Target: Send + Sync + Clone + 'static;
}

/// An action that may write. Only its grant gives a warrant.
pub trait Mutating: Action {}

/// One line of `docs/actions.md`.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    pub name: &'static str,
    pub module: &'static str,
    pub needs: Permission,
    pub what: &'static str,
}

/// Declares actions: `RegisterUser "user_registered" App => OnApp, writes, "what it does";`. Those of
/// a module begin with `in "wallet";`.
#[macro_export]
macro_rules! actions {
    ($($action:ident $name:literal $needs:expr => $target:ty, $mode:ident, $what:literal;)*) => {
        $crate::actions! {
            in "core";
            $($action $name $needs => $target, $mode, $what;)*
        }
    };
    (
        in $module:literal;
        $($action:ident $name:literal $needs:expr => $target:ty, $mode:ident, $what:literal;)*
    ) => {
        $(
            #[doc = $what]
            #[derive(Debug, Clone, Copy)]
            pub struct $action;

            impl $crate::access::action::Action for $action {
                const NAME: &'static str = $name;
                const MODULE: &'static str = $module;
                const NEEDS: $crate::access::permission::Permission = $needs;
                type Target = $target;
            }

            $crate::actions!(@mode $mode $action);
        )*

        /// The actions of this slice that write, for the papers.
        pub const WRITING: &[$crate::access::action::Described] = &{
            const ALL: &[(bool, $crate::access::action::Described)] = &[$(
                ($crate::actions!(@writes $mode), $crate::access::action::Described {
                    name: $name, module: $module, needs: $needs, what: $what,
                })
            ),*];
            const COUNT: usize = {
                let (mut count, mut at) = (0, 0);
                while at < ALL.len() {
                    if ALL[at].0 { count += 1; }
                    at += 1;
                }
                count
            };
            let mut writing = [ALL[0].1; COUNT];
            let (mut count, mut at) = (0, 0);
            while at < ALL.len() {
                if ALL[at].0 {
                    writing[count] = ALL[at].1;
                    count += 1;
                }
                at += 1;
            }
            writing
        };
    };
    (@mode writes $action:ident) => { impl $crate::access::action::Mutating for $action {} };
    (@mode reads $action:ident) => {};
    (@writes writes) => { true };
    (@writes reads) => { false };
}
