//! The integration tests: one binary, on a real mongod, a database of its own for each test.

mod harness;

mod admin_connections;
mod admin_users;
mod app_itself;
mod apps;
mod architecture;
mod command_line;
mod copies;
mod database;
mod docs;
mod door;
mod faults;
mod keys;
mod limits;
mod main_job;
mod metrics;
mod modules;
mod nets;
mod operators;
mod papers;
mod patch;
mod referrals;
mod registration;
mod roles;
mod rotation;
mod seed;
mod shapes;
mod sign_in;
mod subscription;
mod trail;
mod view;
mod waiting;
mod wallet;
mod wallet_once;
mod write_path;
