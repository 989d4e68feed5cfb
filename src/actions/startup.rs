//! The verification of the connection to Databricks, once per process and beside the work: host, credential and warehouse,
//! without starting the warehouse. What is wrong there fails the run, also one that has nothing to write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use crate::databricks;
use crate::failure::{Failure, FailureClass};
use crate::run::Run;

/// The time that a finished run still waits for the answer. A slower answer could say no more than the finished run knows.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// True once this process has verified its connection.
#[derive(Debug, Default)]
pub(crate) struct Startup {
    is_verified: AtomicBool,
}

impl Startup {
    /// A statement has succeeded in this process, which proves more than asking for the warehouse could.
    pub(crate) fn note_proven(&self) {
        self.is_verified.store(true, Ordering::Relaxed);
    }

    /// Does `work` and verifies the connection meanwhile, unless this process has done so before. The work's own failure
    /// comes first. Passing trouble is a warning: it does not fail a run that needed no warehouse, and the next
    /// run of this process verifies again.
    ///
    /// # Errors
    /// The work's failure, or the refusal: credential, right, or a warehouse that does not exist.
    pub(crate) async fn beside(
        &self,
        databricks: &databricks::Client,
        run: &Run,
        work: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let mut work = Box::pin(work);
        if self.is_verified.load(Ordering::Relaxed) {
            return work.await;
        }
        let mut verification = Box::pin(databricks.verify_warehouse(run));
        let verified = tokio::select! {
            worked = &mut work => {
                worked?;
                timeout(MAX_WAIT, verification).await.unwrap_or_else(|_| {
                    Err(Failure::new(FailureClass::DatabricksUnavailable, "Databricks did not answer in time"))
                })
            }
            verified = &mut verification => {
                work.await?;
                verified
            }
        };
        let Err(failure) = verified else {
            self.note_proven();
            return Ok(());
        };
        if !is_passing(failure.class()) {
            return Err(failure.context("verification of the Databricks connection"));
        }
        run.warn("startup", format!("the Databricks connection could not be verified: {}", failure.message()));
        Ok(())
    }
}

/// Returns whether the failure says nothing about the configuration.
fn is_passing(class: FailureClass) -> bool {
    matches!(class, FailureClass::DatabricksUnavailable | FailureClass::DeadlineExceeded)
}
