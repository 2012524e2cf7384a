//! Bytes as a schema, as a migration, and as two versions with data of the older: whatever is sent is
//! refused or means one thing, and what is called compatible is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use purser::modules::registry::schema::{Migration, Schema, breaking, fill, initial, upcast};
use serde_json::{Map, Value, json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(written) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    match Schema::parse(&written) {
        Ok(schema) => accepted(&schema, &written),
        Err(errors) => assert!((1..=20).contains(&errors.len())),
    }
    match Migration::parse(&written) {
        Ok(migration) => applied(&migration, &written),
        Err(errors) => assert!((1..=20).contains(&errors.len())),
    }
    followed(&written);
});

fn accepted(schema: &Schema, written: &Value) {
    let stored = schema.to_json();
    assert_eq!(Schema::restore(&stored).as_ref(), Ok(schema));
    let validator = schema.validator();
    for value in [written, &stored, &json!({"enabled": true}), &json!(null)] {
        let checked = validator.check(value);
        assert!(checked.err().is_none_or(|errors| (1..=20).contains(&errors.len())));
    }
    let mut defaults = json!({});
    let _ = schema.check_defaults(&defaults);
    let none = Map::new();
    assert!(breaking(schema, &Migration::default(), schema, &none).is_empty());
    if let Some(begun) = initial(schema, &none) {
        assert_eq!(validator.check(&Value::Object(begun)), Ok(()));
    }
    fill(schema, defaults.as_object_mut().expect("an object"), &none);
}

fn applied(migration: &Migration, written: &Value) {
    assert_eq!(Migration::parse(&migration.to_json()).as_ref(), Ok(migration));
    let schema = Schema::parse(&json!({"a": "string?", "b": {"c": "integer"}, "d[]": {}}))
        .expect("a schema");
    let _ = breaking(&schema, migration, &schema, &Map::new());
    for data in [json!({"a": "1", "b": {"c": 1}, "d": [{}]}), json!({"a": written, "b": {"c": {}}})]
    {
        let mut data = data.as_object().expect("an object").clone();
        migration.apply(&mut data);
    }
}

/// `{"older": …, "migration": […], "newer": …, "defaults": {…}, "data": {…}}`
fn followed(written: &Value) -> Option<()> {
    let older = Schema::parse(written.get("older")?).ok()?;
    let newer = Schema::parse(written.get("newer")?).ok()?;
    let migration = Migration::parse(written.get("migration")?).ok()?;
    let defaults = written.get("defaults")?.as_object()?;
    let found = breaking(&older, &migration, &newer, defaults);
    let data = written.get("data")?;
    let mut brought = data.as_object()?.clone();
    upcast(&[(&migration, &newer, defaults)], &mut brought);
    if found.is_empty() && older.validator().is_valid(data) {
        assert_eq!(newer.validator().check(&Value::Object(brought)), Ok(()));
    }
    Some(())
}
