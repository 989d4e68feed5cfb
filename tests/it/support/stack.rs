//! What all tests share: one runtime, one SQL engine, one DynamoDB. Everything else belongs to one test.

use std::future::Future;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use notion_sync_local::aws::{AwsEmulator, AwsSettings};
use notion_sync_local::databricks::{Engine, SailSettings, SessionZone};
use notion_sync_local::tools::Tools;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::OnceCell;

/// Longest time for one test; a hang is a failure, not a wait.
const TEST_BOUND: Duration = Duration::from_secs(900);

/// Engine and emulators live as long as the test process, so the runtime that drives them must as well.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap());

static ENGINE: OnceCell<Engine> = OnceCell::const_new();
static AWS: OnceCell<AwsEmulator> = OnceCell::const_new();

/// Runs one test on the shared runtime, within the bound.
pub(crate) fn run_test(test: impl Future<Output = ()>) {
    run_test_within(TEST_BOUND, test);
}

/// The same within a bound of its own.
pub(crate) fn run_test_within(bound: Duration, test: impl Future<Output = ()>) {
    RUNTIME.block_on(async {
        tokio::time::timeout(bound, test).await.expect("the test took longer than any test may");
    });
}

/// A folder of this test process.
pub(crate) fn folder() -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Tools::of_this_repository().root().join("target/test-stack").join(std::process::id().to_string());
        std::fs::create_dir_all(&folder).unwrap();
        folder
    });
    FOLDER.clone()
}

/// The SQL engine: Sail, or whatever `NOTION_SYNC_TEST_ENGINE` (an `sc://` address) names.
pub(crate) async fn engine() -> Engine {
    let start = async || {
        #[expect(clippy::disallowed_methods, reason = "tests choose their engine by the environment")]
        let address = std::env::var("NOTION_SYNC_TEST_ENGINE").ok();
        match address {
            Some(address) => Engine::connect(&address).await.unwrap(),
            None => {
                let sail = Tools::of_this_repository().sail();
                Engine::start_sail(&sail, &folder().join("warehouse"))
                    .await
                    .expect("Sail starts; run `make setup` first")
            }
        }
    };
    ENGINE.get_or_init(start).await.clone()
}

/// A Sail of its own whose sessions have another time zone.
pub(crate) async fn engine_in(zone: SessionZone, number: u32) -> Engine {
    let sail = Tools::of_this_repository().sail();
    let settings = SailSettings::new(&sail, &folder().join(format!("warehouse-{number}")));
    Engine::start_sail_with(SailSettings { time_zone: zone, ..settings })
        .await
        .expect("Sail starts; run `make setup` first")
}

/// The catalog of the tests: `main`, or whatever `NOTION_SYNC_TEST_CATALOG` names where the engine has no such catalog.
pub(crate) fn catalog() -> String {
    #[expect(clippy::disallowed_methods, reason = "tests choose their engine by the environment")]
    let named = std::env::var("NOTION_SYNC_TEST_CATALOG").ok();
    named.unwrap_or_else(|| "main".to_owned())
}

/// DynamoDB and Secrets Manager.
pub(crate) async fn aws() -> &'static AwsEmulator {
    let start = async || {
        let program = Tools::of_this_repository().ministack();
        let settings = AwsSettings { program, folder: folder().join("aws"), port: None };
        AwsEmulator::start(&settings).await.expect("ministack starts; run `make setup` first")
    };
    AWS.get_or_init(start).await
}
