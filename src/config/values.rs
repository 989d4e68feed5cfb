//! The readers of single values: durations, sizes, shares, addresses, names. An error is the form expected.

use std::time::Duration;

use jiff::SignedDuration;
use reqwest::Url;

use crate::http::is_loopback;
use crate::ids::DatabaseId;

/// The form that a value should have had; goes after "is not" in the message.
pub(super) type Expected = String;

/// A duration between `least` and `most`: `340ms`, `2m`, `1h 30m`, or a bare number of seconds (`0.34`).
pub(super) fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, Expected> {
    let seconds = || text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let friendly = || text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    seconds().or_else(friendly).filter(|duration| (least..=most).contains(duration)).ok_or_else(|| {
        format!("a duration from {} to {} (`340ms`, `2m`, or a number of seconds)", shown(least), shown(most))
    })
}

/// A whole number between `least` and `most`.
pub(super) fn whole_number(text: &str, least: u32, most: u32) -> Result<u32, Expected> {
    let number = text.parse::<u32>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("a whole number from {least} to {most}"))
}

/// A number of bytes between `least` and `most`: `8388608`, `8MiB`, `512 KiB`, `10MB`.
pub(super) fn byte_size(text: &str, least: usize, most: usize) -> Result<usize, Expected> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit: Option<usize> = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kb" => Some(1000),
        "kib" => Some(1 << 10),
        "mb" => Some(1_000_000),
        "mib" => Some(1 << 20),
        _ => None,
    };
    let number = text[..digits].parse::<usize>().ok();
    let bytes = number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    bytes.filter(|bytes| (least..=most).contains(bytes)).ok_or_else(|| {
        format!("a size from {least} bytes to {} MiB (`8MiB`, `512KiB`, or a number of bytes)", most >> 20)
    })
}

/// A share between 0 and 1.
pub(super) fn share(text: &str) -> Result<f64, Expected> {
    let number = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    number.ok_or_else(|| "a share from 0 to 1, such as 0.2".to_owned())
}

/// The name of a catalog or schema (Unity Catalog's rules); it is quoted wherever it is used.
pub(super) fn object_name(text: &str) -> Result<String, Expected> {
    let refused = |c: char| c.is_control() || matches!(c, '/' | '.' | ' ');
    if !text.is_empty() && text.chars().count() <= 255 && !text.contains(refused) {
        Ok(text.to_owned())
    } else {
        Err("a single name of at most 255 characters without `.`, `/`, spaces and control characters".to_owned())
    }
}

/// A database's id as people paste it: with or without dashes, alone or at the end of its address, with a `?v=` tail.
pub(super) fn database_id(text: &str) -> Result<DatabaseId, Expected> {
    let form = || {
        "a Notion database id (the 32 hexadecimal digits in the database's address, with or without dashes; the whole \
         address will do)"
            .to_owned()
    };
    let is_elsewhere = Url::parse(text).is_ok_and(|url| !url.host_str().is_some_and(is_notion));
    let has_scheme = text.contains("://");
    if has_scheme && is_elsewhere {
        return Err(form());
    }
    let path = text.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or_default();
    // A title and the id: `Projects-be633bf1dfa0436db259571129a590e5`.
    let tail = |length: usize| {
        let start = last.len().checked_sub(length)?;
        let is_whole = start == 0 || last.get(..start).is_some_and(|title| title.ends_with('-'));
        last.get(start..).filter(|_| is_whole)
    };
    let id = tail(36).and_then(|id| DatabaseId::parse(id).ok());
    id.or_else(|| tail(32).and_then(|id| DatabaseId::parse(id).ok())).ok_or_else(form)
}

/// Returns whether a host is one of Notion's.
fn is_notion(host: &str) -> bool {
    ["notion.so", "notion.com", "notion.site"]
        .iter()
        .any(|domain| host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.')))
}

/// The name or ARN of a DynamoDB table.
pub(super) fn table_name(text: &str) -> Result<String, Expected> {
    let is_arn = text.starts_with("arn:") && text.contains(":table/");
    let name = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if is_arn || (name && (3..=255).contains(&text.len())) {
        Ok(text.to_owned())
    } else {
        Err("the name (3 to 255 of a-z, A-Z, 0-9, _, -, .) or the ARN of a DynamoDB table".to_owned())
    }
}

/// An address of a service: TLS, or plain HTTP on this machine; scheme, host and port are kept, the rest is `path`.
pub(super) fn service_address(text: &str) -> Result<Url, Expected> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&with_scheme).ok().filter(Url::has_host).ok_or("an address such as https://host")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address without user and password".to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err("an https:// address (http:// is only for localhost, 127.0.0.0/8 and [::1])".to_owned()),
        _ => Err("an https:// address".to_owned()),
    }
}

/// The address with nothing after the host: `https://host/sql?o=1` → `https://host/`.
pub(super) fn host_only(mut url: Url) -> Url {
    url.set_path("");
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// The base address of Notion's API: a trailing `/v1` is dropped, any other path is refused.
pub(super) fn notion_base(text: &str) -> Result<Url, Expected> {
    let url = service_address(text)?;
    let path = url.path().trim_end_matches('/');
    if url.query().is_none() && url.fragment().is_none() && (path.is_empty() || path == "/v1") {
        Ok(host_only(url))
    } else {
        Err("an address without a path (such as https://api.notion.com)".to_owned())
    }
}

/// The warehouse's id in `DATABRICKS_HTTP_PATH`: `/sql/1.0/warehouses/ID`, or `/sql/1.0/endpoints/ID` of older days.
pub(super) fn warehouse_of_path(text: &str) -> Result<String, Expected> {
    let path = text.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    if path.starts_with("sql/protocolv1/") {
        return Err("the path of a SQL warehouse but of a cluster, and statements run on warehouses only; \
                    use /sql/1.0/warehouses/ID"
            .to_owned());
    }
    let id = path.strip_prefix("sql/1.0/warehouses/").or_else(|| path.strip_prefix("sql/1.0/endpoints/"));
    id.map(warehouse_id).and_then(Result::ok).ok_or_else(|| "a path of the form /sql/1.0/warehouses/ID".to_owned())
}

/// A warehouse's id.
pub(super) fn warehouse_id(text: &str) -> Result<String, Expected> {
    let valid = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if valid { Ok(text.to_owned()) } else { Err("a warehouse id (letters and digits)".to_owned()) }
}

/// A duration as a person writes it.
fn shown(duration: Duration) -> String {
    SignedDuration::try_from(duration).map_or_else(|_| format!("{} s", duration.as_secs()), |d| format!("{d:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_units_or_bare_seconds() {
        let read = |text: &str| duration(text, Duration::ZERO, Duration::from_secs(3600)).ok();
        assert_eq!(read("340ms"), Some(Duration::from_millis(340)));
        assert_eq!(read("0.34"), Some(Duration::from_millis(340)));
        assert_eq!(read("2m"), Some(Duration::from_secs(120)));
        assert_eq!(read("1m 30s"), Some(Duration::from_secs(90)));
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("0"), Some(Duration::ZERO));
        for wrong in ["", "-1", "-2m", "2m ago", "1d", "nan", "inf", "1e99", "soon", "0,34", "61m"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let text = duration("soon", Duration::ZERO, Duration::from_secs(60)).unwrap_err();
        assert_eq!(text, "a duration from 0s to 1m (`340ms`, `2m`, or a number of seconds)");
    }

    #[test]
    fn sizes_take_units_or_bare_bytes() {
        let read = |text: &str| byte_size(text, 1024, 15 << 20).ok();
        assert_eq!(read("8MiB"), Some(8 << 20));
        assert_eq!(read("8 mib"), Some(8 << 20));
        assert_eq!(read("8388608"), Some(8 << 20));
        assert_eq!(read("10MB"), Some(10_000_000));
        assert_eq!(read("15MiB"), Some(15 << 20));
        for wrong in ["", "8", "16MiB", "8GiB", "-8MiB", "1.5MiB", "99999999999999999999MiB", "MiB"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_databricks_host_is_normalised() {
        let read = |text: &str| service_address(text).map(|url| host_only(url).to_string());
        for text in [
            "adb-984752964297111.11.azuredatabricks.net",
            "https://adb-984752964297111.11.azuredatabricks.net/",
            "https://adb-984752964297111.11.azuredatabricks.net:443",
            "https://adb-984752964297111.11.azuredatabricks.net/sql/warehouses/?o=984752964297111#list",
            "ADB-984752964297111.11.azuredatabricks.net",
        ] {
            assert_eq!(read(text).as_deref(), Ok("https://adb-984752964297111.11.azuredatabricks.net/"), "{text}");
        }
    }

    #[test]
    fn http_is_for_this_machine_only() {
        for text in ["http://127.0.0.1:8080", "http://localhost:1", "http://127.8.0.9", "http://[::1]:9"] {
            assert!(service_address(text).is_ok(), "{text}");
        }
        for text in ["http://127.0.0.1.example.org", "http://10.0.0.1", "http://localhost.example.org", "http://[::2]"]
        {
            assert!(service_address(text).unwrap_err().contains("https://"), "{text}");
        }
        assert!(service_address("ftp://host").is_err());
        assert!(service_address("https://").is_err());
        assert!(service_address("https://user:password@host").is_err());
    }

    #[test]
    fn a_database_id_is_taken_as_people_paste_it() {
        let id = DatabaseId::parse("be633bf1-dfa0-436d-b259-571129a590e5").unwrap();
        let plain = "be633bf1dfa0436db259571129a590e5";
        for text in [
            plain.to_owned(),
            plain.to_ascii_uppercase(),
            id.to_string(),
            format!("{plain}?v=1a2b3c4d5e6f708192a3b4c5d6e7f809"),
            format!("https://www.notion.so/{plain}"),
            format!("https://www.notion.so/{id}?v=1a2b3c4d5e6f708192a3b4c5d6e7f809&pvs=4"),
            format!("https://www.notion.so/acme/Cafe-{plain}?v=1a2b3c4d5e6f708192a3b4c5d6e7f809#x"),
            format!("https://app.notion.com/p/acme/Projects-2026-{plain}/"),
            format!("https://acme.notion.site/Projekte-%C3%9Cbersicht-{plain}"),
            format!("notion://www.notion.so/acme/{plain}?v=1a2b3c4d5e6f708192a3b4c5d6e7f809"),
            format!("notion.so/{plain}"),
            format!(
                "https://notion.so/{plain}?v=1a2b3c4d5e6f708192a3b4c5d6e7f809&p=00112233445566778899aabbccddeeff&pm=s"
            ),
        ] {
            assert_eq!(database_id(&text), Ok(id), "{text}");
        }
        for text in [
            "projects",
            "be633bf1dfa0436db259571129a590e",
            "abe633bf1dfa0436db259571129a590e5",
            "https://www.notion.so/acme",
            "https://www.notion.so/?v=be633bf1dfa0436db259571129a590e5",
            "https://notion.so.example.org/be633bf1dfa0436db259571129a590e5",
            "https://example.org/be633bf1dfa0436db259571129a590e5",
            "https://anotion.so/be633bf1dfa0436db259571129a590e5",
            "ääbe633bf1dfa0436db259571129a590e5",
            "",
        ] {
            assert!(database_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn notion_is_addressed_with_or_without_its_version() {
        let read = |text: &str| notion_base(text).map(|url| url.to_string()).ok();
        assert_eq!(read("https://api.notion.com/v1/").as_deref(), Some("https://api.notion.com/"));
        assert_eq!(read("http://127.0.0.1:4000").as_deref(), Some("http://127.0.0.1:4000/"));
        assert_eq!(read("https://api.notion.com/v2"), None);
        assert_eq!(read("https://api.notion.com/v1?x=1"), None);
    }

    #[test]
    fn a_cluster_is_told_from_a_warehouse() {
        for text in ["/sql/1.0/warehouses/1a2b3c", "sql/1.0/endpoints/1a2b3c/", "/sql/1.0/warehouses/1a2b3c?o=1"] {
            assert_eq!(warehouse_of_path(text).as_deref(), Ok("1a2b3c"), "{text}");
        }
        assert!(warehouse_of_path("/sql/protocolv1/o/1/0101-1").unwrap_err().contains("cluster"));
        for text in ["1a2b3c", "/sql/1.0/warehouses/", "/sql/1.0/warehouses/a/b", "/sql/2.0/warehouses/a"] {
            assert!(warehouse_of_path(text).unwrap_err().contains("/sql/1.0/warehouses/ID"), "{text}");
        }
    }

    #[test]
    fn names_that_could_not_be_objects_are_refused() {
        assert_eq!(object_name("bronze").as_deref(), Ok("bronze"));
        assert_eq!(object_name("my-`odd`_name").as_deref(), Ok("my-`odd`_name"), "quoted where it is used");
        let long = "x".repeat(256);
        for text in ["", "a/b", "main.bronze", "a b", "a\u{0}b", "a\nb", long.as_str()] {
            assert!(object_name(text).is_err(), "{text:?}");
        }
        assert!(table_name("notion-sync-dev").is_ok());
        assert!(table_name("arn:aws:dynamodb:eu-central-1:1:table/notion-sync").is_ok());
        assert!(table_name("a b").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text: String) {
            let _ = duration(&text, Duration::ZERO, Duration::MAX);
            let _ = byte_size(&text, 0, usize::MAX);
            let _ = (share(&text), whole_number(&text, 1, 100), table_name(&text), object_name(&text));
            let _ = database_id(&text);
            let _ = (service_address(&text).map(host_only), notion_base(&text), warehouse_of_path(&text));
            let _ = crate::placeholder::is_placeholder(&text);
        }
    }
}
