//! The integration tests: one binary, on a real mongod, a database of its own for each test.

mod harness;

mod main_job;
