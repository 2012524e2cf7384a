//! Purser keeps one record per person for all the apps of a company. Many external apps read and
//! change that record through one HTTP API, each with its own keys, permissions and view of the
//! person, and every change can be traced to the app, the actor and the moment. `ARCHITECTURE.md`
//! has the walks; below are the rooms, ground floor first.

// Floor 0: words, values without I/O or framework.
pub mod kernel;

// Floor 1: pure machinery.
pub mod audit;
pub mod config;
pub mod crypto;

// Floor 2: the database.
pub mod store;

// Floor 3: the door.
pub mod access;
pub mod http;

// Floor 4: slices, all of the same shape.
pub mod apps;
pub mod connections;
pub mod customers;
pub mod delivery;
pub mod modules;
pub mod people;
pub mod trail;
pub mod users;

// The roof.
pub mod app;
