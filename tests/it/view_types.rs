//! What each documented value of each property type becomes in a typed view.

use notion_sync_local::notion::NewRow;

use crate::support::run_test;
use crate::views::{add, ask, new_world};

/// One type: its settings in the schema, its columns, and each documented value with the cells expected.
struct Case {
    kind: &'static str,
    settings: &'static str,
    columns: &'static [&'static str],
    values: &'static [(&'static str, &'static [Option<&'static str>])],
}

const NULL: Option<&str> = None;

const CASES: &[Case] = &[
    Case {
        kind: "title",
        settings: "{}",
        columns: &["p_title"],
        values: &[
            (r#""title":[{"type":"text","plain_text":"Ab"},{"type":"equation","plain_text":"x^2"}]"#, &[Some("Abx^2")]),
            (r#""title":[]"#, &[NULL]),
        ],
    },
    Case {
        kind: "rich_text",
        settings: "{}",
        columns: &["p_rich_text"],
        values: &[
            (
                r#""rich_text":[{"plain_text":"it's \"a\" \\ 'b'\n"},{"plain_text":"é🚀"}]"#,
                &[Some("it's \"a\" \\ 'b'\né🚀")],
            ),
            (r#""rich_text":[]"#, &[NULL]),
        ],
    },
    Case {
        kind: "number",
        settings: r#"{"format":"percent"}"#,
        columns: &["p_number"],
        values: &[
            (r#""number":0.25"#, &[Some("0.25")]),
            (r#""number":-1e2"#, &[Some("-100.0")]),
            (r#""number":9007199254740993"#, &[Some("9007199254740992.0")]),
            (r#""number":null"#, &[NULL]),
        ],
    },
    Case {
        kind: "checkbox",
        settings: "{}",
        columns: &["p_checkbox"],
        values: &[(r#""checkbox":true"#, &[Some("true")]), (r#""checkbox":false"#, &[Some("false")])],
    },
    Case {
        kind: "url",
        settings: "{}",
        columns: &["p_url"],
        values: &[(r#""url":"https://x.example/?a=b""#, &[Some("https://x.example/?a=b")]), (r#""url":null"#, &[NULL])],
    },
    Case {
        kind: "email",
        settings: "{}",
        columns: &["p_email"],
        values: &[(r#""email":"a@x.example""#, &[Some("a@x.example")]), (r#""email":null"#, &[NULL])],
    },
    Case {
        kind: "phone_number",
        settings: "{}",
        columns: &["p_phone_number"],
        values: &[(r#""phone_number":"ext. 7""#, &[Some("ext. 7")]), (r#""phone_number":null"#, &[NULL])],
    },
    Case {
        kind: "select",
        settings: r#"{"options":[{"id":"o1","name":"High","color":"red","description":null}]}"#,
        columns: &["p_select"],
        values: &[
            (r#""select":{"id":"o1","name":"Old name of it","color":"red"}"#, &[Some("High")]),
            (r#""select":{"id":"gone","name":"Removed","color":"red"}"#, &[Some("Removed")]),
            (r#""select":null"#, &[NULL]),
        ],
    },
    Case {
        kind: "status",
        settings: r#"{"options":[{"id":"s1","name":"Doing","color":"blue"}],"groups":[{"id":"g1","name":"In progress","color":"blue","option_ids":["s1"]}]}"#,
        columns: &["p_status", "p_status_group"],
        values: &[
            (r#""status":{"id":"s1","name":"Doing","color":"blue"}"#, &[Some("Doing"), Some("In progress")]),
            (r#""status":{"id":"s2","name":"Lost","color":"blue"}"#, &[Some("Lost"), NULL]),
            (r#""status":null"#, &[NULL, NULL]),
        ],
    },
    Case {
        kind: "multi_select",
        settings: r#"{"options":[{"id":"m1","name":"A","color":"gray"}]}"#,
        columns: &["p_multi_select"],
        values: &[
            (
                r#""multi_select":[{"id":"m1","name":"a","color":"gray"},{"id":"m2","name":"B","color":"gray"}]"#,
                &[Some(r#"["A","B"]"#)],
            ),
            (r#""multi_select":[]"#, &[Some("[]")]),
        ],
    },
    Case {
        kind: "date",
        settings: "{}",
        columns: &["p_date", "p_date_at", "p_date_end", "p_date_end_at"],
        values: &[
            (r#""date":{"start":"2026-03-01","end":null,"time_zone":null}"#, &[Some("2026-03-01"), NULL, NULL, NULL]),
            (
                r#""date":{"start":"1592-03-01","end":"2026-03-04","time_zone":null}"#,
                &[Some("1592-03-01"), NULL, Some("2026-03-04"), NULL],
            ),
            (
                r#""date":{"start":"2026-06-27T23:57:00.000-05:30","end":"2026-06-28T01:00:00.000+00:00","time_zone":null}"#,
                &[
                    Some("2026-06-27"),
                    Some("2026-06-28T05:27:00.000Z"),
                    Some("2026-06-28"),
                    Some("2026-06-28T01:00:00.000Z"),
                ],
            ),
            (
                r#""date":{"start":"2026-06-27T10:00:00.000Z","end":null,"time_zone":null}"#,
                &[Some("2026-06-27"), Some("2026-06-27T10:00:00.000Z"), NULL, NULL],
            ),
            // No instant without an offset: it would be read in the session's zone.
            (
                r#""date":{"start":"2026-06-27T10:00:00.000","end":null,"time_zone":"Europe/London"}"#,
                &[Some("2026-06-27"), NULL, NULL, NULL],
            ),
            (r#""date":null"#, &[NULL, NULL, NULL, NULL]),
        ],
    },
    Case {
        kind: "people",
        settings: "{}",
        columns: &["p_people"],
        values: &[
            (
                r#""people":[{"object":"user","id":"u1","name":"Ann","avatar_url":null,"type":"person","person":{"email":"a@x.example"}},{"object":"user","id":"u2"},{"object":"group","id":"g1","name":"Ops"},{"object":"user","id":"b1","name":"Bot","type":"bot","bot":{}}]"#,
                &[Some(
                    r#"[{"email":"a@x.example","id":"u1","kind":"user","name":"Ann"},{"email":null,"id":"u2","kind":"user","name":null},{"email":null,"id":"g1","kind":"group","name":"Ops"},{"email":null,"id":"b1","kind":"user","name":"Bot"}]"#,
                )],
            ),
            (r#""people":[]"#, &[Some("[]")]),
        ],
    },
    Case {
        kind: "files",
        settings: "{}",
        columns: &["p_files"],
        values: &[
            (
                r#""files":[{"name":"a.pdf","type":"file","file":{"url":"https://f.example/a.pdf?X-Amz-Expires=3600&b=c","expiry_time":"2026-11-26T10:00:00.000Z"}},{"name":"b","type":"external","external":{"url":"https://x.example/b?id=7"}}]"#,
                &[Some(
                    r#"[{"name":"a.pdf","type":"file","url":"https://f.example/a.pdf"},{"name":"b","type":"external","url":"https://x.example/b?id=7"}]"#,
                )],
            ),
            (r#""files":[]"#, &[Some("[]")]),
        ],
    },
    Case {
        kind: "relation",
        settings: r#"{"database_id":"d","data_source_id":"s","type":"single_property","single_property":{}}"#,
        columns: &["p_relation"],
        values: &[
            (r#""relation":[{"id":"r1"},{"id":"r2"}],"has_more":false"#, &[Some(r#"["r1","r2"]"#)]),
            (r#""relation":[],"has_more":false"#, &[Some("[]")]),
        ],
    },
    Case {
        kind: "formula",
        settings: r#"{"expression":"prop(\"x\")"}"#,
        columns: &[
            "p_formula.type",
            "p_formula.string",
            "p_formula.number",
            "p_formula.boolean",
            "p_formula.date",
            "p_formula.date_at",
        ],
        values: &[
            (r#""formula":{"type":"string","string":"ok"}"#, &[Some("string"), Some("ok"), NULL, NULL, NULL, NULL]),
            (r#""formula":{"type":"string","string":null}"#, &[Some("string"), NULL, NULL, NULL, NULL, NULL]),
            (r#""formula":{"type":"number","number":3}"#, &[Some("number"), NULL, Some("3.0"), NULL, NULL, NULL]),
            (
                r#""formula":{"type":"boolean","boolean":false}"#,
                &[Some("boolean"), NULL, NULL, Some("false"), NULL, NULL],
            ),
            (
                r#""formula":{"type":"date","date":{"start":"2026-06-27T17:57:00.000+01:00","end":null,"time_zone":null}}"#,
                &[Some("date"), NULL, NULL, NULL, Some("2026-06-27"), Some("2026-06-27T16:57:00.000Z")],
            ),
            (r#""formula":{"type":"date","date":null}"#, &[Some("date"), NULL, NULL, NULL, NULL, NULL]),
            (
                r#""formula":{"type":"unsupported","unsupported":{}}"#,
                &[Some("unsupported"), NULL, NULL, NULL, NULL, NULL],
            ),
        ],
    },
    Case {
        kind: "rollup",
        settings: r#"{"rollup_property_name":"Hours","relation_property_name":"Parts","rollup_property_id":"cTg`","relation_property_id":":J{:","function":"max"}"#,
        columns: &["p_rollup.type", "p_rollup.function", "p_rollup.number", "p_rollup.date", "p_rollup.array"],
        values: &[
            (
                r#""rollup":{"type":"number","number":8,"function":"max"}"#,
                &[Some("number"), Some("max"), Some("8.0"), NULL, NULL],
            ),
            (
                r#""rollup":{"type":"number","number":null,"function":"max"}"#,
                &[Some("number"), Some("max"), NULL, NULL, NULL],
            ),
            (
                r#""rollup":{"type":"array","array":[{"type":"number","number":8}],"function":"show_original"}"#,
                &[Some("array"), Some("show_original"), NULL, NULL, Some(r#"[{"type":"number","number":8}]"#)],
            ),
            (
                r#""rollup":{"type":"date","date":{"start":"2026-06-27","end":null,"time_zone":null},"function":"max"}"#,
                &[Some("date"), Some("max"), NULL, Some("2026-06-27"), NULL],
            ),
            (
                r#""rollup":{"type":"unsupported","unsupported":{},"function":"max"}"#,
                &[Some("unsupported"), Some("max"), NULL, NULL, NULL],
            ),
        ],
    },
    Case {
        kind: "created_by",
        settings: "{}",
        columns: &["p_created_by"],
        values: &[
            (
                r#""created_by":{"object":"user","id":"b1","name":"Bot","avatar_url":null,"type":"bot","bot":{}}"#,
                &[Some(r#"{"email":null,"id":"b1","kind":"user","name":"Bot"}"#)],
            ),
            (
                r#""created_by":{"object":"user","id":"u2"}"#,
                &[Some(r#"{"email":null,"id":"u2","kind":"user","name":null}"#)],
            ),
        ],
    },
    Case {
        kind: "last_edited_by",
        settings: "{}",
        columns: &["p_last_edited_by.id", "p_last_edited_by.email"],
        values: &[(
            r#""last_edited_by":{"object":"user","id":"u1","person":{"email":"a@x.example"}}"#,
            &[Some("u1"), Some("a@x.example")],
        )],
    },
    Case {
        kind: "created_time",
        settings: "{}",
        columns: &["p_created_time"],
        values: &[(r#""created_time":"2026-11-02T09:30:00.000Z""#, &[Some("2026-11-02T09:30:00.000Z")])],
    },
    Case {
        kind: "last_edited_time",
        settings: "{}",
        columns: &["p_last_edited_time"],
        values: &[(r#""last_edited_time":"2026-11-02T09:31:00.000Z""#, &[Some("2026-11-02T09:31:00.000Z")])],
    },
    Case {
        kind: "unique_id",
        settings: r#"{"prefix":"BUG"}"#,
        columns: &["p_unique_id", "p_unique_id_number"],
        values: &[
            (r#""unique_id":{"prefix":"OLD","number":7}"#, &[Some("BUG-7"), Some("7")]),
            (r#""unique_id":{"prefix":null,"number":8}"#, &[Some("BUG-8"), Some("8")]),
            (r#""unique_id":{"prefix":"BUG","number":null}"#, &[NULL, NULL]),
        ],
    },
    Case {
        kind: "place",
        settings: "{}",
        columns: &["p_place"],
        values: &[
            (
                r#""place":{"lat":1.5,"lon":-2.25,"name":null,"address":"1 Main St","aws_place_id":null,"google_place_id":null}"#,
                &[Some(r#"{"address":"1 Main St","lat":1.5,"lon":-2.25,"name":null}"#)],
            ),
            (r#""place":null"#, &[NULL]),
        ],
    },
    Case {
        kind: "verification",
        settings: "{}",
        columns: &[
            "p_verification.state",
            "p_verification.start",
            "p_verification.`end`",
            "p_verification.verified_by.name",
        ],
        values: &[
            (
                r#""verification":{"state":"verified","date":{"start":"2026-01-01T00:00:00.000Z","end":"2026-04-01T00:00:00.000Z","time_zone":null},"verified_by":{"object":"user","id":"u1","name":"Ann"}}"#,
                &[Some("verified"), Some("2026-01-01T00:00:00.000Z"), Some("2026-04-01T00:00:00.000Z"), Some("Ann")],
            ),
            (
                r#""verification":{"state":"unverified","date":null,"verified_by":null}"#,
                &[Some("unverified"), NULL, NULL, NULL],
            ),
            (r#""verification":null"#, &[NULL, NULL, NULL, NULL]),
        ],
    },
    Case { kind: "button", settings: "{}", columns: &[], values: &[(r#""button":{}"#, &[])] },
    // A type of tomorrow.
    Case {
        kind: "hologram",
        settings: "{}",
        columns: &["p_hologram"],
        values: &[(r#""hologram":{"depth":3}"#, &[Some(r#"{"depth":3}"#)]), (r#""hologram":null"#, &[NULL])],
    },
];

/// The schema of all cases: `P <type>`, whose id is the type, or `title`.
fn schema_of_cases() -> String {
    let entry = |case: &Case| {
        let Case { kind, settings, .. } = case;
        format!(
            r#""P {kind}":{{"id":"{kind}","name":"P {kind}","description":null,"type":"{kind}","{kind}":{settings}}}"#
        )
    };
    format!("{{{}}}", CASES.iter().map(entry).collect::<Vec<_>>().join(","))
}

#[test]
fn every_documented_value_of_every_type_is_what_a_reader_expects() {
    run_test(async {
        let (world, views) = new_world().await;
        world.edit(|workspace| workspace.plant_schema(&world.data_source_id, Some(&schema_of_cases())).unwrap());
        let mut expected = Vec::new();
        for case in CASES {
            for (value, cells) in case.values {
                let kind = case.kind;
                let properties = format!(r#"{{"Whatever it was called":{{"id":"{kind}","type":"{kind}",{value}}}}}"#);
                let page = add(&world, NewRow::default().raw_properties(properties));
                expected.push((page, case, *value, *cells));
            }
        }
        world.full_refresh().await;
        let columns: Vec<&str> = CASES.iter().flat_map(|case| case.columns).copied().collect();
        let rows = ask(&world, &format!("SELECT page_id, {} FROM {views}.projects", columns.join(", "))).await;
        assert_eq!(rows.len(), expected.len());
        let mut wrong = Vec::new();
        for (page, case, value, cells) in expected {
            let row = rows.iter().find(|row| row[0].as_deref() == Some(&page)).unwrap();
            for (column, cell) in columns.iter().zip(&row[1..]) {
                let wanted = case.columns.iter().position(|own| own == column).and_then(|at| cells[at]);
                let (found, wanted) = (same_form(cell.as_deref()), same_form(wanted));
                if found != wanted {
                    wrong.push(format!("{column} of {{{value}}} is {found:?}, not {wanted:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        world.end().await;
    });
}

/// JSON with its keys in one order: engines write a struct's fields as they like.
fn same_form(cell: Option<&str>) -> Option<String> {
    cell.map(|text| match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) if value.is_object() || value.is_array() => value.to_string(),
        _ => text.to_owned(),
    })
}
