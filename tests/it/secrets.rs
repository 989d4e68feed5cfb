//! Nothing that either binary writes, however much it is asked to tell and however badly things go, holds a secret.

use std::collections::BTreeMap;

use notion_sync_local::databricks::ServicePrincipal;
use notion_sync_local::faults::{Answer, Fault, FaultProxy, Rule};
use serde_json::json;

use crate::support::process::notion_sync;
use crate::support::runtime_api::LambdaProcess;
use crate::support::{World, run_test};
use crate::sync::add_rows;

const NOTION_KEY: &str = "ntn_planted4Zr8Q2notionKeyMm31";
const DATABRICKS_TOKEN: &str = "dapiplanted7Gq2databricksToken55";
const CLIENT_SECRET: &str = "doseplanted9Kx4clientSecret88";
const OAUTH_TOKEN: &str = "eyJplanted5Wd8oauthToken77";
const AWS_SECRET_KEY: &str = "plantedAwsSecret3Hf6accessKey99";
const SECRETS: [&str; 5] = [NOTION_KEY, DATABRICKS_TOKEN, CLIENT_SECRET, OAUTH_TOKEN, AWS_SECRET_KEY];

const COMMANDS: [&str; 6] = ["health", "list-databases", "sync", "sweep", "status", "init-tables"];

/// Where Databricks' credential is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Credential {
    Token,
    Principal,
}

async fn world() -> World {
    let world = World::builder().build().await;
    world.run_clock();
    add_rows(&world, 3);
    world.edit(|workspace| workspace.rotate_token(NOTION_KEY));
    world.databricks.configure(|settings| {
        settings.tokens = vec![DATABRICKS_TOKEN.to_owned(), OAUTH_TOKEN.to_owned()];
        settings.principals = vec![ServicePrincipal {
            client_id: "app-1".to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            expires_in_seconds: 3_600,
        }];
    });
    world
}

/// Variables that hold every secret there is, and ask for all there is to tell.
fn variables(world: &World, credential: Credential) -> BTreeMap<String, String> {
    let common = [
        ("NOTION_API_KEY", Some(NOTION_KEY)),
        ("AWS_SECRET_ACCESS_KEY", Some(AWS_SECRET_KEY)),
        ("RUST_LOG", Some("trace")),
        ("RUST_BACKTRACE", Some("full")),
        ("AWS_LAMBDA_LOG_LEVEL", Some("TRACE")),
    ];
    let own = match credential {
        Credential::Token => [("DATABRICKS_TOKEN", Some(DATABRICKS_TOKEN)), ("DATABRICKS_CLIENT_ID", None)],
        Credential::Principal => [("DATABRICKS_TOKEN", None), ("DATABRICKS_CLIENT_ID", Some("app-1"))],
    };
    let mut changes: Vec<(&str, Option<&str>)> = common.into_iter().chain(own).collect();
    if credential == Credential::Principal {
        changes.push(("DATABRICKS_CLIENT_SECRET", Some(CLIENT_SECRET)));
    }
    world.variables_with(&changes)
}

/// Everything that both binaries write when each is asked for `commands`.
async fn everything_written(variables: &BTreeMap<String, String>, commands: &[&str]) -> String {
    let mut written = String::new();
    for command in commands {
        for output in ["text", "json"] {
            let ended = notion_sync(variables, &["-vvv", "--output", output, command]).await;
            written.push_str(&ended.stdout);
            written.push_str(&ended.stderr);
        }
    }
    let mut lambda = LambdaProcess::start(variables).await;
    for action in commands {
        let event = match *action {
            "sync" | "sweep" => json!({"action": action, "database": "projects"}),
            _ => json!({"action": action}),
        };
        written.push_str(&lambda.ask(&event.to_string()).await.body.to_string());
    }
    written.push_str(&lambda.stdout());
    written.push_str(&lambda.stderr());
    lambda.end().await;
    written
}

fn assert_no_secret(written: &str, when: &str) {
    assert!(written.len() > 200, "something was written {when}: {written}");
    for secret in SECRETS {
        // A long enough part of a secret is one, too.
        for part in [secret, &secret[..16], &secret[secret.len() - 16..]] {
            if let Some(place) = written.find(part) {
                let line = written[..place].lines().last().unwrap_or_default();
                panic!("{part} was written {when}, behind: {line}");
            }
        }
    }
}

/// The token endpoint issues a token that is known here.
fn plant_oauth_token(proxy: &FaultProxy) {
    let answer = Answer::json(200, &json!({"access_token": OAUTH_TOKEN, "token_type": "Bearer", "expires_in": 3_600}));
    proxy.add(Rule::new(Fault::Answer(answer)).path("/oidc/v1/token").always());
}

#[test]
fn what_goes_well_tells_no_secret() {
    run_test(async {
        let world = world().await;
        let written = everything_written(&variables(&world, Credential::Token), &COMMANDS).await;
        assert!(written.contains("DEBUG"), "everything was told");
        assert_no_secret(&written, "with a token");
        plant_oauth_token(&world.databricks_faults);
        let written = everything_written(&variables(&world, Credential::Principal), &["health", "sync"]).await;
        assert!(!world.databricks_faults.exchanges().is_empty());
        assert_no_secret(&written, "with a service principal");
        world.end().await;
    });
}

/// A refusal whose body repeats what it was sent, as some gateways do.
fn echo(status: u16, secret: &str) -> [Answer; 3] {
    let message = format!("Invalid credential {secret} in 'Authorization: Bearer {secret}'");
    [
        Answer::notion(status, "unauthorized", &message),
        Answer::databricks(status, "INVALID_TOKEN", &message),
        Answer::new(status, "text/html", format!("<html>{message}</html>")),
    ]
}

#[test]
fn a_server_that_echoes_the_credential_it_refuses_is_not_quoted() {
    run_test(async {
        let world = world().await;
        let commands = ["health", "sync"];
        for status in [401, 403, 400] {
            for answer in echo(status, NOTION_KEY) {
                world.notion_faults.add(Rule::new(Fault::Answer(answer)).always());
                let written = everything_written(&variables(&world, Credential::Token), &["health"]).await;
                assert_no_secret(&written, &format!("when Notion answers {status}"));
                world.notion_faults.clear_rules();
            }
        }
        for answer in echo(403, DATABRICKS_TOKEN).into_iter().skip(1) {
            world.databricks_faults.add(Rule::new(Fault::Answer(answer)).always());
            let written = everything_written(&variables(&world, Credential::Token), &commands).await;
            assert_no_secret(&written, "when Databricks refuses the token");
            world.databricks_faults.clear_rules();
        }
        for answer in echo(401, CLIENT_SECRET).into_iter().skip(1) {
            world.databricks_faults.add(Rule::new(Fault::Answer(answer)).path("/oidc").always());
            let written = everything_written(&variables(&world, Credential::Principal), &commands).await;
            assert_no_secret(&written, "when the token endpoint refuses the client secret");
            world.databricks_faults.clear_rules();
        }
        plant_oauth_token(&world.databricks_faults);
        for answer in echo(403, OAUTH_TOKEN).into_iter().skip(1) {
            world.databricks_faults.add(Rule::new(Fault::Answer(answer)).path("/sql/").always());
        }
        let written = everything_written(&variables(&world, Credential::Principal), &commands).await;
        assert_no_secret(&written, "when Databricks refuses an issued token");
        world.databricks_faults.clear_rules();
        // A token answer that can't be read still holds a token.
        let cut = format!(r#"{{"access_token":"{OAUTH_TOKEN}","expires_in":"soon"#);
        let answer = Answer::new(200, "application/json", cut);
        world.databricks_faults.add(Rule::new(Fault::Answer(answer)).path("/oidc").always());
        let written = everything_written(&variables(&world, Credential::Principal), &["health"]).await;
        assert_no_secret(&written, "when the token endpoint's answer is cut");
        // AWS is never sent its secret key (requests are signed), so no answer can repeat it.
        let refused = Answer::dynamodb(400, "UnrecognizedClientException", "The security token is invalid");
        world.databricks_faults.clear_rules();
        world.aws_faults.add(Rule::new(Fault::Answer(refused)).always());
        let written = everything_written(&variables(&world, Credential::Token), &["health"]).await;
        assert_no_secret(&written, "when AWS refuses");
        world.end().await;
    });
}

#[test]
fn a_broken_configuration_names_variables_and_shows_no_secret() {
    run_test(async {
        let world = world().await;
        for (name, value) in [
            ("DATABRICKS_HOST", format!("https://user:{DATABRICKS_TOKEN}@example.azuredatabricks.net")),
            ("NOTION_API_KEY", format!("{NOTION_KEY} your-key\u{7}")),
            ("DATABRICKS_TOKEN", format!("{DATABRICKS_TOKEN}\nchangeme")),
            ("BATCH_SIZE", "many".to_owned()),
        ] {
            let mut variables = variables(&world, Credential::Token);
            variables.insert(name.to_owned(), value);
            let written = everything_written(&variables, &["sync"]).await;
            assert!(written.contains(name), "{written}");
            assert_no_secret(&written, &format!("when {name} is wrong"));
        }
        world.end().await;
    });
}
