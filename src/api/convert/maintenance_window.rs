//! Validates windows and converts them to the domain, and shown maintenance to the stored JSON and back.

use std::time::Duration;

use jiff::Timestamp;

use super::keys::object_key;
use super::spec::{duration, selector};
use super::status::time;
use crate::api::{MaintenanceStatus, MaintenanceWindow};
use crate::domain::maintenance::{Maintenance, Schedule, When, Window};

/// The window that a user described. `now` decides whether a schedule occurs at all.
///
/// # Errors
/// A sentence that names the field.
pub fn window(object: &MaintenanceWindow, now: Timestamp) -> Result<Window, String> {
    let spec = &object.spec;
    Ok(Window {
        key: object_key(object).into(),
        selector: selector(&spec.target_selector)?,
        integrations: spec.integrations.iter().cloned().collect(),
        when: when(object, now)?,
    })
}

fn when(object: &MaintenanceWindow, now: Timestamp) -> Result<When, String> {
    let spec = &object.spec;
    match (&spec.schedule, &spec.duration, &spec.from, &spec.until) {
        (Some(cron), Some(lasting), None, None) => {
            let longest = Duration::from_secs(168 * 3_600);
            let lasting = duration("spec.duration", lasting, Duration::from_secs(60)..=longest)?;
            let zone = spec.time_zone.as_deref().unwrap_or("UTC");
            Ok(When::Recurring(Box::new(Schedule::parse(cron, zone, lasting, now)?)))
        }
        (None, None, Some(from), Some(until)) => {
            let read = |field: &str, text: &str| {
                text.parse().map_err(|_| format!("{field}: {text:?} is not a time such as 2030-01-31T08:00:00Z"))
            };
            let (from, until): (Timestamp, Timestamp) = (read("spec.from", from)?, read("spec.until", until)?);
            match from < until {
                true => Ok(When::Once { from, until }),
                false => Err("spec.until: must be later than spec.from".to_owned()),
            }
        }
        _ => Err("spec: give either schedule and duration, or from and until".to_owned()),
    }
}

pub(super) fn stored_maintenance(maintenance: Maintenance) -> MaintenanceStatus {
    let Maintenance { name, until, integrations } = maintenance;
    MaintenanceStatus { name, until: until.to_string(), integrations }
}

/// `None` if its time can't be read.
pub(super) fn maintenance(stored: MaintenanceStatus) -> Option<Maintenance> {
    let MaintenanceStatus { name, until, integrations } = stored;
    Some(Maintenance { name, until: time(Some(&until))?, integrations })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(mut spec: Value) -> Result<Window, String> {
        spec["targetSelector"] = json!({});
        let object = json!({"apiVersion": "ksit.io/v1alpha1", "kind": "MaintenanceWindow",
            "metadata": {"name": "night", "namespace": "fleet"}, "spec": spec});
        window(&serde_json::from_value(object).unwrap(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn window_occurs_once_or_by_a_schedule() {
        let once = read(json!({"from": "2026-03-29T01:00:00+01:00", "until": "2026-03-29T02:00:00Z"})).unwrap();
        assert_eq!(
            once.when.open_until("2026-03-29T00:00:00Z".parse().unwrap()).unwrap().to_string(),
            "2026-03-29T02:00:00Z"
        );
        let nightly =
            read(json!({"schedule": "30 2 * * *", "duration": "1h30m", "timeZone": "Europe/Berlin"})).unwrap();
        assert_eq!(
            nightly.when.open_until("2026-06-07T01:00:00Z".parse().unwrap()).unwrap().to_string(),
            "2026-06-07T02:00:00Z"
        );
    }

    #[test]
    fn faults_name_the_field() {
        for (spec, start) in [
            (json!({}), "spec: give either"),
            (json!({"schedule": "0 0 * * *"}), "spec: give either"),
            (json!({"schedule": "0 0 * * *", "duration": "1s"}), "spec.duration: \"1s\" is not a duration from"),
            (json!({"schedule": "0 0 * *", "duration": "1h"}), "spec.schedule: \"0 0 * *\""),
            (json!({"schedule": "0 0 * * *", "duration": "1h", "timeZone": "Berlin"}), "spec.timeZone: "),
            (json!({"from": "tomorrow", "until": "2026-03-29T02:00:00Z"}), "spec.from: \"tomorrow\""),
            (json!({"from": "2026-03-29T02:00:00Z", "until": "2026-03-29T02:00:00Z"}), "spec.until: must be later"),
        ] {
            let error = read(spec.clone()).unwrap_err();
            assert!(error.starts_with(start), "{spec}: {error}");
        }
    }
}
