//! Credentials that change under a running process: read again after a refusal, without a restart or a failed run.

use notion_sync_local::databricks::ServicePrincipal;
use notion_sync_local::faults::{Fault, FaultProxy, Hold, Rule};
use notion_sync_local::notion::{DEFAULT_TOKEN, RowEdit};
use serde_json::{Value, json};

use crate::support::runtime_api::LambdaProcess;
use crate::support::{World, run_test};
use crate::sync::add_rows;

const SYNC: &str = r#"{"action":"sync","database":"projects"}"#;

/// A world whose credentials are in Secrets Manager, and a process that has synced once.
struct Rotation {
    world: World,
    lambda: LambdaProcess,
    secret_id: String,
    rows: Vec<String>,
}

impl Rotation {
    /// `credentials` are Databricks'; Notion's key comes to them.
    async fn begin(world: World, credentials: Value) -> Self {
        world.run_clock();
        let rows = add_rows(&world, 20);
        let secret_id = format!("secret-of-{}", world.state_table);
        put(&world, &secret_id, DEFAULT_TOKEN, &credentials).await;
        let variables = world.variables_with(&[
            ("NOTION_API_KEY", None),
            ("DATABRICKS_TOKEN", None),
            ("SECRETS_ID", Some(&secret_id)),
        ]);
        let mut lambda = LambdaProcess::start(&variables).await;
        assert_eq!(lambda.sync().await["pages_inserted"], 20);
        Self { world, lambda, secret_id, rows }
    }

    async fn put(&self, notion_key: &str, credentials: Value) {
        put(&self.world, &self.secret_id, notion_key, &credentials).await;
    }

    fn edit(&self, index: usize, title: &str) {
        self.world.edit(|workspace| workspace.edit_row(&self.rows[index], RowEdit::new().title(title)).unwrap());
    }

    /// A sync that must bring exactly one edit in.
    async fn sync_brings_the_edit(&mut self) {
        assert_eq!(self.lambda.sync().await["pages_updated"], 1);
        self.world.assert_table_equals_notion().await;
    }

    async fn end(self) {
        self.lambda.end().await;
        self.world.end().await;
    }
}

async fn put(world: &World, secret_id: &str, notion_key: &str, credentials: &Value) {
    let mut secret = credentials.clone();
    secret["NOTION_API_KEY"] = notion_key.into();
    world.aws.client().put_secret(secret_id, &secret).await.unwrap();
}

/// A sync in the middle of which, with a request of it waiting at `proxy`, something happens.
async fn sync_meanwhile(
    lambda: &mut LambdaProcess,
    proxy: &FaultProxy,
    rule: Which,
    change: impl AsyncFnOnce(),
) -> Value {
    let hold = Hold::new();
    proxy.add(rule(Rule::new(Fault::HoldRequest(hold.clone()))));
    let (answer, ()) = tokio::join!(lambda.ask(SYNC), async {
        hold.reached().await;
        change().await;
        hold.release();
    });
    let report = answer.report();
    assert_eq!(report["outcome"], "complete", "{report}");
    report
}

/// Which request waits.
type Which = fn(Rule) -> Rule;

#[test]
fn notions_key_is_rotated_between_runs_and_in_the_middle_of_one() {
    run_test(async {
        let world = World::new().await;
        let token = json!({"DATABRICKS_TOKEN": world.variables["DATABRICKS_TOKEN"]});
        let mut rotation = Rotation::begin(world, token.clone()).await;

        rotation.world.edit(|workspace| workspace.rotate_token("ntn_second_key_7Gq2"));
        rotation.put("ntn_second_key_7Gq2", token.clone()).await;
        rotation.edit(0, "After the first rotation");
        rotation.sync_brings_the_edit().await;

        rotation.edit(1, "In the middle of a rotation");
        let Rotation { world, lambda, secret_id, .. } = &mut rotation;
        let rule: Which = |rule| rule.path("/query");
        let report = sync_meanwhile(lambda, &world.notion_faults, rule, async || {
            world.edit(|workspace| workspace.rotate_token("ntn_third_key_5Wd8"));
            put(world, secret_id, "ntn_third_key_5Wd8", &token).await;
        })
        .await;
        assert_eq!(report["pages_updated"], 1);
        world.assert_table_equals_notion().await;

        // The new key is not there yet: the class says whose credential it is, and nothing was lost once it comes.
        rotation.world.edit(|workspace| workspace.rotate_token("ntn_fourth_key_9Kx4"));
        rotation.edit(2, "Before the secret followed");
        let (class, message) = rotation.lambda.ask(SYNC).await.error();
        assert_eq!(class, "NotionUnauthorized", "{message}");
        rotation.put("ntn_fourth_key_9Kx4", token).await;
        rotation.sync_brings_the_edit().await;
        rotation.end().await;
    });
}

#[test]
fn databricks_token_is_rotated_between_runs_and_in_the_middle_of_one() {
    run_test(async {
        let world = World::new().await;
        let first = json!({"DATABRICKS_TOKEN": world.variables["DATABRICKS_TOKEN"]});
        let mut rotation = Rotation::begin(world, first).await;

        rotation.world.databricks.set_tokens(&["dapi-second-token"]);
        rotation.put(DEFAULT_TOKEN, json!({"DATABRICKS_TOKEN": "dapi-second-token"})).await;
        rotation.edit(0, "After the first rotation");
        rotation.sync_brings_the_edit().await;

        rotation.edit(1, "In the middle of a rotation");
        let Rotation { world, lambda, secret_id, .. } = &mut rotation;
        let rule: Which = |rule| rule.method("POST").body("notion_sync_watermarks");
        let report = sync_meanwhile(lambda, &world.databricks_faults, rule, async || {
            world.databricks.set_tokens(&["dapi-third-token"]);
            put(world, secret_id, DEFAULT_TOKEN, &json!({"DATABRICKS_TOKEN": "dapi-third-token"})).await;
        })
        .await;
        assert_eq!(report["pages_updated"], 1);
        world.assert_table_equals_notion().await;

        rotation.world.databricks.set_tokens(&["dapi-fourth-token"]);
        rotation.edit(2, "Before the secret followed");
        let (class, message) = rotation.lambda.ask(SYNC).await.error();
        assert_eq!(class, "DatabricksUnauthorized", "{message}");
        rotation.put(DEFAULT_TOKEN, json!({"DATABRICKS_TOKEN": "dapi-fourth-token"})).await;
        rotation.sync_brings_the_edit().await;
        rotation.end().await;
    });
}

/// A service principal's credentials.
fn principal(client_secret: &str) -> Value {
    json!({"DATABRICKS_CLIENT_ID": "app-1", "DATABRICKS_CLIENT_SECRET": client_secret})
}

/// The endpoint accepts this client secret and no other, and no token that it has issued before.
fn rotate_client_secret(world: &World, client_secret: &str) {
    world.databricks.configure(|settings| {
        settings.tokens.clear();
        settings.principals = vec![ServicePrincipal {
            client_id: "app-1".to_owned(),
            client_secret: client_secret.to_owned(),
            expires_in_seconds: 3_600,
        }];
    });
    world.databricks.revoke_issued_tokens();
}

#[test]
fn a_client_secret_is_rotated_between_runs_and_in_the_middle_of_one() {
    run_test(async {
        let world = World::new().await;
        rotate_client_secret(&world, "dose-first");
        let mut rotation = Rotation::begin(world, principal("dose-first")).await;

        rotate_client_secret(&rotation.world, "dose-second");
        rotation.put(DEFAULT_TOKEN, principal("dose-second")).await;
        rotation.edit(0, "After the first rotation");
        rotation.sync_brings_the_edit().await;

        // A token that has expired or was revoked is replaced, with the same client secret.
        rotation.world.databricks.revoke_issued_tokens();
        rotation.edit(1, "After the token was revoked");
        rotation.sync_brings_the_edit().await;

        rotation.edit(2, "In the middle of a rotation");
        let Rotation { world, lambda, secret_id, .. } = &mut rotation;
        let rule: Which = |rule| rule.method("POST").body("notion_sync_watermarks");
        let report = sync_meanwhile(lambda, &world.databricks_faults, rule, async || {
            rotate_client_secret(world, "dose-third");
            put(world, secret_id, DEFAULT_TOKEN, &principal("dose-third")).await;
        })
        .await;
        assert_eq!(report["pages_updated"], 1);
        world.assert_table_equals_notion().await;
        rotation.end().await;
    });
}
