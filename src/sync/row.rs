//! Pure: a page as Notion sent it → a row of the table, its bytes untouched, and the fingerprint of its content.

use sha2::{Digest, Sha256};

use crate::failure::{Failure, FailureClass};
use crate::ids::{DataSourceId, Database};
use crate::notion::{PageRow, volatile_spans};
use crate::warehouse::Row;

/// Makes the table's row of a page.
///
/// # Errors
/// `PageUnreadable` when the page's text is no JSON, which the walk has ruled out before.
pub fn row(
    page: PageRow,
    database: &Database,
    data_source_id: DataSourceId,
    is_archived: bool,
    hydrated_properties: Option<String>,
) -> Result<Row, Failure> {
    let payload = Box::<str>::from(page.text).into_string();
    let payload_sha256 = content_hash(&payload).map_err(|error| {
        Failure::new(FailureClass::PageUnreadable, format!("page {} can't be hashed", page.id)).caused_by(error)
    })?;
    Ok(Row {
        page_id: page.id,
        database_id: database.id,
        database_name: database.name.clone(),
        data_source_id,
        payload,
        payload_sha256,
        hydrated_properties,
        created_time: page.created_time,
        last_edited_time: page.last_edited_time,
        is_archived,
        in_trash: page.in_trash,
    })
}

/// SHA-256 of a page's text without the parts that differ on every read, hexadecimal.
fn content_hash(text: &str) -> serde_json::Result<String> {
    let mut hash = Sha256::new();
    let mut from = 0;
    for span in volatile_spans(text)? {
        hash.update(&text.as_bytes()[from..span.start]);
        from = span.end;
    }
    hash.update(&text.as_bytes()[from..]);
    Ok(hexadecimal(&hash.finalize()))
}

/// The fingerprint that the run keeps of a row: a hash of everything that would make the MERGE write it. Half of a SHA-256, hexadecimal.
pub fn fingerprint(row: &Row) -> String {
    let mut hash = Sha256::new();
    let flags = [row.is_archived, row.in_trash].map(u8::from);
    let hydrated = row.hydrated_properties.as_deref().unwrap_or("\u{0}");
    let source = row.data_source_id.uuid();
    let parts: [&[u8]; 5] = [
        row.payload_sha256.as_bytes(),
        hydrated.as_bytes(),
        &flags,
        source.as_bytes(),
        row.database_name.as_str().as_bytes(),
    ];
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(row.last_edited_time.as_millisecond().to_be_bytes());
    hexadecimal(&hash.finalize()[..16])
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DatabaseId, DatabaseName};
    use serde_json::value::RawValue;

    fn of(properties: &str, hydrated: Option<&str>) -> Row {
        let id = "27a5d30a-1728-4a1e-a788-71341f22fb97";
        let text = format!(
            r#"{{"object":"page","id":"{id}","created_time":"2026-11-22T13:00:00.000Z","last_edited_time":"2026-11-22T13:02:00.000Z","in_trash":false,"is_archived":false,"properties":{properties}}}"#
        );
        let page = PageRow::read(RawValue::from_string(text.clone()).unwrap()).unwrap();
        let database = Database { name: DatabaseName::parse("projects").unwrap(), id: DatabaseId::parse(id).unwrap() };
        let row = row(page, &database, DataSourceId::parse(id).unwrap(), false, hydrated.map(str::to_owned)).unwrap();
        assert_eq!(row.payload, text, "byte for byte");
        row
    }

    #[test]
    fn numbers_that_a_parser_would_make_equal_are_different_content() {
        let of = |number: &str| of(&format!(r#"{{"n":{{"number":{number}}}}}"#), None).payload_sha256;
        assert_ne!(of("12345678901234567890"), of("12345678901234567891"));
        assert_ne!(of("1.10"), of("1.1"));
    }

    #[test]
    fn two_edits_in_one_minute_beyond_the_cut_differ_in_the_fingerprint() {
        let first = of("{}", Some(r#"{"r":["26th"]}"#));
        let second = of("{}", Some(r#"{"r":["26th, edited"]}"#));
        assert_eq!(first.payload_sha256, second.payload_sha256);
        assert_ne!(fingerprint(&first), fingerprint(&second));
    }
}
