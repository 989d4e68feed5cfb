//! The credentials of the environment: which are there, whether they fit together, and that no text shows them.

use secrecy::SecretString;

use super::reader::Reader;
use super::variables::Variables;
use crate::aws::secrets::{CREDENTIAL_FORM, SecretsConfig, can_be_credential};
use crate::output::redaction::{self, Kind};

/// Makes every credential of the environment known to the redaction, also one that is malformed or not used.
pub(super) fn register_credentials(variables: &Variables) {
    let kinds = [
        ("NOTION_API_KEY", Kind::NotionApiKey),
        ("DATABRICKS_TOKEN", Kind::DatabricksToken),
        ("DATABRICKS_CLIENT_SECRET", Kind::DatabricksClientSecret),
        ("AWS_SECRET_ACCESS_KEY", Kind::AwsSecretAccessKey),
        ("AWS_SESSION_TOKEN", Kind::AwsToken),
    ];
    for (name, kind) in kinds {
        if let Some(value) = variables.get(name) {
            redaction::register(kind, &SecretString::from(value));
        }
    }
    for name in
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].iter().flat_map(|name| [(*name).to_owned(), name.to_lowercase()])
    {
        let proxy = variables.get(&name).and_then(|value| reqwest::Url::parse(value).ok());
        if let Some(password) = proxy.as_ref().and_then(reqwest::Url::password) {
            redaction::register(Kind::ProxyPassword, &SecretString::from(password));
        }
    }
}

/// The credentials in the environment. With `SECRETS_ID` set, what is missing here may be in the secret.
pub(super) fn read_secrets(reader: &mut Reader<'_>) -> SecretsConfig {
    let secrets_id = reader.optional("SECRETS_ID").map(str::to_owned);
    let all_must_be_here = reader.variables().get("SECRETS_ID").is_none();
    let set = |reader: &Reader<'_>, name: &str| reader.variables().get(name).is_some();
    if all_must_be_here && !set(reader, "NOTION_API_KEY") {
        reader.missing("NOTION_API_KEY", "");
    }
    let token = set(reader, "DATABRICKS_TOKEN");
    let (id, secret) = (set(reader, "DATABRICKS_CLIENT_ID"), set(reader, "DATABRICKS_CLIENT_SECRET"));
    match (token, id, secret) {
        (true, true, _) | (true, _, true) => reader.problem(
            "BLOCKED: DATABRICKS_TOKEN and DATABRICKS_CLIENT_ID / DATABRICKS_CLIENT_SECRET are both set; keep one way \
             to sign in"
                .to_owned(),
        ),
        (false, false, false) if all_must_be_here => {
            reader.missing("DATABRICKS_TOKEN", " (or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET)");
        }
        (false, true, false) if all_must_be_here => reader.missing("DATABRICKS_CLIENT_SECRET", ""),
        (false, false, true) if all_must_be_here => reader.missing("DATABRICKS_CLIENT_ID", ""),
        _ => {}
    }
    let mut credential = |name: &str| {
        let text = reader.optional(name)?;
        reader.read(name, text, |text| {
            if can_be_credential(text) { Ok(SecretString::from(text)) } else { Err(CREDENTIAL_FORM.to_owned()) }
        })
    };
    SecretsConfig {
        secrets_id,
        notion_api_key: credential("NOTION_API_KEY"),
        databricks_token: credential("DATABRICKS_TOKEN"),
        databricks_client_secret: credential("DATABRICKS_CLIENT_SECRET"),
        databricks_client_id: reader.optional("DATABRICKS_CLIENT_ID").map(str::to_owned),
    }
}
