//! Placeholder of the joined rooms, until the real one is merged.
//!
//! **Invariant:** it never serves anything.

use std::net::SocketAddr;

use thiserror::Error;

use crate::config::Config;
use crate::lifecycle::{Ended, Stop};

/// Why an application cannot start.
#[derive(Debug, Error)]
#[error("this build has no server in it")]
pub struct StartError;

macro_rules! placeholder {
    ($name:ident) => {
        /// Placeholder.
        #[derive(Debug)]
        pub struct $name(SocketAddr);

        impl $name {
            /// Fails.
            ///
            /// # Errors
            /// Always.
            #[expect(clippy::unused_async, reason = "the real one awaits")]
            pub async fn build(_config: &Config) -> Result<Self, StartError> {
                Err(StartError)
            }

            /// Where it would listen.
            #[must_use]
            pub fn address(&self) -> SocketAddr {
                self.0
            }

            /// Where its metrics would be.
            #[must_use]
            pub fn metrics_address(&self) -> SocketAddr {
                self.0
            }

            /// Waits for the stop.
            ///
            /// # Errors
            /// Never.
            pub async fn run(self, stop: Stop) -> Result<usize, Ended> {
                stop.asked().await;
                Ok(0)
            }
        }
    };
}

placeholder!(Api);
placeholder!(Worker);
placeholder!(All);
