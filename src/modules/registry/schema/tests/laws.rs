//! Laws, over random schemas and documents.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value};

use super::generate::{self, Dice};
use super::{naive, parsed};
use crate::modules::registry::schema::tree::{About, Schema};
use crate::modules::registry::schema::{
    Completeness, Migration, WRITTEN_BYTES_MAX, breaking, fill, initial, upcast,
};

/// Cases are cheap here, so there are more of them than elsewhere.
const CASES_FACTOR: u32 = 8;

/// Runs a law over seeds; `PROPTEST_CASES` says how many, times the factor.
fn over_seeds(law: impl Fn(&mut Dice) -> Result<(), TestCaseError>) {
    let cases = Config::default().cases * CASES_FACTOR;
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&any::<u64>(), |seed| law(&mut Dice(seed)));
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// A valid document, a near miss or noise.
fn any_document(dice: &mut Dice, schema: &Schema) -> Value {
    let document = Value::Object(generate::document(dice, &schema.fields));
    match dice.below(8) {
        0..3 => document,
        3 => generate::noise(dice, 3),
        4 => {
            let damaged = generate::damaged(dice, &document);
            generate::damaged(dice, &damaged)
        }
        _ => generate::damaged(dice, &document),
    }
}

#[test]
fn the_compiled_validator_means_what_the_tree_says() {
    let (valid, invalid) = (Cell::new(0_u32), Cell::new(0_u32));
    over_seeds(|dice| {
        let schema = generate::schema(dice);
        let validator = schema.validator();
        for _ in 0..10 {
            let document = any_document(dice, &schema);
            let is_valid = naive::accepts_fields(&schema.fields, &document);
            let checked = validator.check(&document);
            prop_assert_eq!(checked.is_ok(), is_valid, "{} under {}", document, schema.to_json());
            prop_assert!(checked.err().is_none_or(|errors| (1..=20).contains(&errors.len())));
            let count = if is_valid { &valid } else { &invalid };
            count.set(count.get() + 1);
        }
        Ok(())
    });
    println!("{} valid, {} invalid documents", valid.get(), invalid.get());
    assert!(valid.get().min(invalid.get()) > (valid.get() + invalid.get()) / 5);
}

#[test]
fn what_is_written_out_is_read_back() {
    over_seeds(|dice| {
        let schema = generate::schema(dice);
        let written = schema.to_json();
        prop_assert!(!written.to_string().contains("\"$"));
        prop_assert_eq!(&Schema::restore(&written), &Ok(schema.clone()), "{}", written);
        if written.to_string().len() <= WRITTEN_BYTES_MAX {
            prop_assert_eq!(&Schema::parse(&written), &Ok(schema));
        }
        Ok(())
    });
}

#[test]
fn shorthand_and_json_schema_come_to_the_same_tree() {
    over_seeds(|dice| {
        let fields = generate::plain_fields(dice, 3);
        let written = generate::shorthand(dice, &fields).expect("shorthand can say it");
        let schema = parsed(&written);
        let own = schema.fields.iter().filter(|(name, _)| *name != "enabled");
        let own = own.map(|(name, field)| (name.clone(), field.clone())).collect();
        prop_assert_eq!(&fields, &own, "{}", written);
        prop_assert_eq!(&parsed(&schema.to_json()), &schema);

        let other = generate::schema(dice);
        if let Some(written) = generate::shorthand(dice, &other.fields) {
            let fields = generate::without_about(&other.fields);
            prop_assert_eq!(parsed(&written), Schema { about: About::default(), fields });
        }
        Ok(())
    });
}

#[test]
fn nothing_random_makes_reading_panic() {
    over_seeds(|dice| {
        for _ in 0..10 {
            let written = match dice.below(3) {
                0 => generate::jumbled(dice, 5),
                1 => {
                    let schema = generate::schema(dice);
                    generate::damaged(dice, &schema.to_json())
                }
                _ => {
                    let mut fields = generate::schema(dice).fields;
                    let steps = generate::migrate(dice, &mut fields);
                    generate::damaged(dice, &steps)
                }
            };
            if let Ok(schema) = Schema::parse(&written) {
                prop_assert_eq!(Schema::restore(&schema.to_json()), Ok(schema.clone()));
                let _ = schema.validator().check(&written);
            }
            if let Ok(migration) = Migration::parse(&written) {
                prop_assert_eq!(Migration::parse(&migration.to_json()), Ok(migration.clone()));
                let schema = generate::schema(dice);
                let mut data = generate::document(dice, &schema.fields);
                migration.apply(&mut data);
            }
        }
        Ok(())
    });
}

#[test]
fn defaults_that_are_complete_begin_a_valid_record() {
    over_seeds(|dice| {
        let schema = generate::schema(dice);
        let defaults = generate::defaults(dice, &schema.fields);
        let Ok(completeness) = schema.check_defaults(&Value::Object(defaults.clone())) else {
            return Ok(());
        };
        let beginning = initial(&schema, &defaults);
        prop_assert_eq!(beginning.is_some(), completeness == Completeness::Complete);
        if let Some(beginning) = beginning {
            let beginning = Value::Object(beginning);
            prop_assert!(naive::accepts_fields(&schema.fields, &beginning), "{}", beginning);
        }
        Ok(())
    });
}

/// A version that follows another, with its migration and defaults; many are compatible.
fn next_version(dice: &mut Dice, older: &Schema) -> (Migration, Schema, Map<String, Value>) {
    let mut newer = older.clone();
    let mut migration = Migration::default();
    if dice.percent(60) {
        let steps = generate::migrate(dice, &mut newer.fields);
        migration = Migration::parse(&steps).unwrap_or_default();
    }
    for _ in 0..dice.below(3) {
        generate::edit(dice, &mut newer.fields, 2);
    }
    let defaults = generate::defaults(dice, &newer.fields);
    (migration, newer, defaults)
}

fn valid_documents(dice: &mut Dice, schema: &Schema) -> Vec<Map<String, Value>> {
    let documents: Vec<_> = (0..8).map(|_| generate::document(dice, &schema.fields)).collect();
    let is_valid = |document: &Map<String, Value>| {
        naive::accepts_fields(&schema.fields, &Value::Object(document.clone()))
    };
    documents.into_iter().filter(is_valid).collect()
}

#[test]
fn where_nothing_is_breaking_every_older_document_is_valid_under_the_newer_schema() {
    let (compatible, migrated, incompatible, truly) =
        (Cell::new(0_u32), Cell::new(0_u32), Cell::new(0_u32), Cell::new(0_u32));
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    over_seeds(|dice| {
        for _ in 0..4 {
            let older = generate::schema(dice);
            let (migration, newer, defaults) = next_version(dice, &older);
            let found = breaking(&older, &migration, &newer, &defaults);
            let mut is_broken = false;
            for document in valid_documents(dice, &older) {
                let mut data = document.clone();
                upcast(&[(&migration, &newer, &defaults)], &mut data);
                let is_valid = naive::accepts_fields(&newer.fields, &Value::Object(data.clone()));
                is_broken |= !is_valid;
                prop_assert!(
                    is_valid || !found.is_empty(),
                    "{:?} became {:?}\nolder {}\nnewer {}\nmigration {}\ndefaults {:?}",
                    document,
                    data,
                    older.to_json(),
                    newer.to_json(),
                    migration.to_json(),
                    defaults
                );
            }
            count(if found.is_empty() { &compatible } else { &incompatible });
            if found.is_empty() && migration != Migration::default() {
                count(&migrated);
            }
            if is_broken {
                count(&truly);
            }
        }
        Ok(())
    });
    let (compatible, incompatible) = (compatible.get(), incompatible.get());
    println!(
        "{compatible} compatible ({} with steps), {incompatible} breaking ({} seen to break)",
        migrated.get(),
        truly.get()
    );
    let all = compatible + incompatible;
    assert!(compatible > all / 5 && migrated.get() > all / 20, "too few are compatible");
    assert!(incompatible > all / 5 && truly.get() > all / 20, "too few are breaking");
}

#[test]
fn data_of_any_compatible_version_is_brought_to_the_newest() {
    let chains = Cell::new(0_u32);
    over_seeds(|dice| {
        let first = generate::schema(dice);
        let mut versions: Vec<(Migration, Schema, Map<String, Value>)> = Vec::new();
        let length = 1 + dice.below(4);
        for _ in 0..20 {
            let older = versions.last().map_or(&first, |(_, schema, _)| schema);
            let (migration, newer, defaults) = next_version(dice, older);
            if versions.len() < length && breaking(older, &migration, &newer, &defaults).is_empty()
            {
                versions.push((migration, newer, defaults));
            }
        }
        let Some((_, newest, _)) = versions.last() else {
            return Ok(());
        };
        chains.set(chains.get() + u32::from(versions.len() == length));
        let chain: Vec<_> = versions.iter().map(|(m, s, d)| (m, s, d)).collect();
        for mut document in valid_documents(dice, &first) {
            upcast(&chain, &mut document);
            let document = Value::Object(document);
            prop_assert!(naive::accepts_fields(&newest.fields, &document), "{}", document);
        }
        Ok(())
    });
    println!("{} chains of full length", chains.get());
    assert!(chains.get() > 0);
}

#[test]
fn filling_twice_changes_no_more_than_filling_once() {
    over_seeds(|dice| {
        let schema = generate::schema(dice);
        let defaults = generate::defaults(dice, &schema.fields);
        let other = generate::schema(dice);
        let mut data = generate::document(dice, &other.fields);
        fill(&schema, &mut data, &defaults);
        let once = data.clone();
        fill(&schema, &mut data, &defaults);
        prop_assert_eq!(data, once);
        Ok(())
    });
}
