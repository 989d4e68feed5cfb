//! Arrow results as JSON_ARRAY: every cell a string or null, every column with its SQL type.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use serde_json::Value;

use super::error::StatementError;
use super::zone::SessionZone;

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultColumn {
    pub name: String,
    /// SQL type, such as `BIGINT`.
    pub type_text: String,
    /// The API's name of the type, such as `LONG`.
    pub type_name: String,
}

impl ResultColumn {
    /// A BIGINT column.
    pub(super) fn bigint(name: &str) -> Self {
        Self { name: name.to_owned(), type_text: "BIGINT".to_owned(), type_name: "LONG".to_owned() }
    }
}

/// Columns and rows of a result, in text form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultSet {
    /// Columns in order.
    pub columns: Vec<ResultColumn>,
    /// Rows; no value is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

impl ResultSet {
    /// Gives the STRING columns a collation.
    pub(super) fn collate(&mut self, collation: &str) {
        for column in self.columns.iter_mut().filter(|column| column.type_text == "STRING") {
            column.type_text = format!("STRING COLLATE {collation}");
        }
    }
}

/// The result of a query.
///
/// # Errors
/// Types that have no text form here.
pub(super) fn result_set(
    schema: &Schema,
    batches: &[RecordBatch],
    session: SessionZone,
) -> Result<ResultSet, StatementError> {
    let columns = schema.fields().iter().map(|field| column(field.name(), field.data_type())).collect();
    let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|array| cell(array.as_ref(), row, session));
            rows.push(cells.collect::<Result<Vec<_>, _>>()?);
        }
    }
    Ok(ResultSet { columns, rows })
}

fn column(name: &str, data_type: &DataType) -> ResultColumn {
    let type_text = sql_type(data_type);
    let type_name = match type_text.split(['(', '<']).next().unwrap_or_default() {
        "BIGINT" => "LONG",
        "SMALLINT" => "SHORT",
        "TINYINT" => "BYTE",
        "VOID" => "NULL",
        other => other,
    };
    ResultColumn { name: name.to_owned(), type_name: type_name.to_owned(), type_text }
}

/// The SQL type an Arrow type stands for.
pub(super) fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "VOID".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 | DataType::UInt8 => "SMALLINT".to_owned(),
        DataType::Int32 | DataType::UInt16 => "INT".to_owned(),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "BIGINT".to_owned(),
        DataType::Float16 | DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("DECIMAL({precision},{scale})")
        }
        DataType::Date32 | DataType::Date64 => "DATE".to_owned(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP".to_owned(),
        DataType::Timestamp(_, None) => "TIMESTAMP_NTZ".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BINARY".to_owned(),
        DataType::List(item) | DataType::LargeList(item) => format!("ARRAY<{}>", sql_type(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{}: {}", field.name(), sql_type(field.data_type()))).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("MAP<{}, {}>", sql_type(pair[0].data_type()), sql_type(pair[1].data_type()))
            }
            _ => "MAP<STRING, STRING>".to_owned(),
        },
        _ => "STRING".to_owned(),
    }
}

fn cell(array: &dyn Array, row: usize, session: SessionZone) -> Result<Option<String>, StatementError> {
    if array.is_null(row) || array.data_type() == &DataType::Null {
        return Ok(None);
    }
    let text = match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        // Debug writes whole numbers with `.0`, as Spark does.
        DataType::Float32 => format!("{:?}", array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).to_owned(),
        DataType::Utf8View => array.as_string_view().value(row).to_owned(),
        DataType::Date32 => date(array.as_primitive::<Date32Type>().value(row))?,
        DataType::Timestamp(unit, zone) => timestamp(array, row, *unit, zone.as_ref().map(|_| session))?,
        DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::Map(..) => {
            json(array, row, session)?.to_string()
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            return Err(StatementError::unsupported("BINARY cells; cast them"));
        }
        _ => arrow::util::display::array_value_to_string(array, row)
            .map_err(|error| StatementError::unsupported(&format!("cells of type {}: {error}", array.data_type())))?,
    };
    Ok(Some(text))
}

/// A nested value as JSON; scalars inside keep their JSON type.
fn json(array: &dyn Array, row: usize, session: SessionZone) -> Result<Value, StatementError> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let items =
        |items: &dyn Array| (0..items.len()).map(|index| json(items, index, session)).collect::<Result<Vec<_>, _>>();
    Ok(match array.data_type() {
        DataType::List(_) => Value::Array(items(array.as_list::<i32>().value(row).as_ref())?),
        DataType::LargeList(_) => Value::Array(items(array.as_list::<i64>().value(row).as_ref())?),
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            let pairs = fields.iter().zip(columns.columns());
            let pairs = pairs.map(|(field, column)| Ok((field.name().clone(), json(column.as_ref(), row, session)?)));
            Value::Object(pairs.collect::<Result<_, StatementError>>()?)
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let pairs = (0..entries.len()).map(|index| {
                Ok((cell(keys.as_ref(), index, session)?.unwrap_or_default(), json(values.as_ref(), index, session)?))
            });
            Value::Object(pairs.collect::<Result<_, StatementError>>()?)
        }
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64 => {
            let text = cell(array, row, session)?.unwrap_or_default();
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        _ => cell(array, row, session)?.map_or(Value::Null, Value::String),
    })
}

fn date(days: i32) -> Result<String, StatementError> {
    let epoch = jiff::civil::date(1970, 1, 1);
    let date = epoch.checked_add(jiff::Span::new().days(days)).map_err(|error| out_of_range(&error))?;
    Ok(date.to_string())
}

/// ISO-8601 with milliseconds; a moment has the offset of the session's zone, a time without a zone has none.
fn timestamp(
    array: &dyn Array,
    row: usize,
    unit: TimeUnit,
    session: Option<SessionZone>,
) -> Result<String, StatementError> {
    let moment = match unit {
        TimeUnit::Second => jiff::Timestamp::from_second(array.as_primitive::<TimestampSecondType>().value(row)),
        TimeUnit::Millisecond => {
            jiff::Timestamp::from_millisecond(array.as_primitive::<TimestampMillisecondType>().value(row))
        }
        TimeUnit::Microsecond => {
            jiff::Timestamp::from_microsecond(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        TimeUnit::Nanosecond => {
            jiff::Timestamp::from_nanosecond(i128::from(array.as_primitive::<TimestampNanosecondType>().value(row)))
        }
    };
    let moment = moment.map_err(|error| out_of_range(&error))?;
    let plain = || moment.strftime("%Y-%m-%dT%H:%M:%S%.3f").to_string();
    Ok(session.map_or_else(plain, |zone| zone.cell(moment)))
}

fn out_of_range(error: &jiff::Error) -> StatementError {
    StatementError::classed("DATETIME_OVERFLOW", &error.to_string(), "22008")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn every_cell_is_a_string_or_null() {
        let moment = TimestampMicrosecondArray::from(vec![Some(1_609_495_200_123_456), None]).with_timezone("UTC");
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            ("count", Arc::new(Int64Array::from(vec![-1, 2]))),
            ("share", Arc::new(Float64Array::from(vec![1.0, 0.5]))),
            ("text", Arc::new(StringArray::from(vec![Some("é \" \\"), None]))),
            ("moment", Arc::new(moment)),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let result = result_set(&batch.schema(), &[batch], SessionZone::UTC).unwrap();
        let types: Vec<&str> = result.columns.iter().map(|column| column.type_name.as_str()).collect();
        assert_eq!(types, ["BOOLEAN", "LONG", "DOUBLE", "STRING", "TIMESTAMP"]);
        let text = |cells: [Option<&str>; 5]| cells.map(|cell| cell.map(str::to_owned)).to_vec();
        assert_eq!(
            result.rows,
            [
                text([Some("true"), Some("-1"), Some("1.0"), Some("é \" \\"), Some("2021-01-01T10:00:00.123Z")]),
                text([None, Some("2"), Some("0.5"), None, None]),
            ]
        );
    }

    #[test]
    fn dates_are_whole_days() {
        assert_eq!(date(0).unwrap(), "1970-01-01");
        assert_eq!(date(-1).unwrap(), "1969-12-31");
    }
}
