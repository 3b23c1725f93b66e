//! What a Consul agent answers, as this project counts on it. Each case runs twice: on the real agent, `real::`, and on
//! `lictor dev`, `dev::`. Where the two differ, the real one is right.

#[path = "../support/mod.rs"]
mod support;

/// Makes two tests of each case. What stands before the colon says which target of [`support::target`] they get.
macro_rules! cases {
    ($target:ident: $($case:ident),* $(,)?) => {
        mod real {
            $(#[test]
            fn $case() {
                super::$case(&crate::support::target::$target(crate::support::target::Kind::Real));
            })*
        }
        mod dev {
            $(#[test]
            fn $case() {
                super::$case(&crate::support::target::$target(crate::support::target::Kind::Dev));
            })*
        }
    };
}

mod acl;
mod agent;
mod blocking;
mod catalog;
mod health;
mod kv;
mod malformed;
mod session;
mod status;
mod txn;
