//! Each rule of the checker, once kept and once broken.

use serde_json::{Value, json};

use super::*;

/// A handwritten audit log.
#[derive(Default)]
struct Log {
    events: Vec<AuditEvent>,
    /// Version of the last write, logged or not.
    version: u64,
}

impl Log {
    fn write(&mut self, second: f64, pod: &str, resource: &str, subresource: &str, mut object: Value) {
        let base = self.version.to_string();
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        // ksit requests metadata-only responses to status writes.
        let answer = match subresource {
            "status" => json!({ "kind": "PartialObjectMetadata", "metadata": object["metadata"] }),
            _ => object.clone(),
        };
        object["metadata"]["resourceVersion"] = json!(base);
        let event = json!({
            "stage": "ResponseComplete", "verb": "update", "requestURI": "/",
            "user": { "username": "system:serviceaccount:a:ksit", "extra": { "authentication.kubernetes.io/pod-uid": [pod] } },
            "objectRef": { "apiGroup": "ksit.io", "namespace": "a", "resource": resource, "subresource": subresource },
            "responseStatus": { "code": 200 }, "requestObject": object, "responseObject": answer,
            "requestReceivedTimestamp": "2030-01-01T00:00:00.000000Z",
            "stageTimestamp": format!("2030-01-01T00:00:{second:09.6}Z"),
        });
        self.events.push(serde_json::from_value(event).unwrap());
    }

    /// Adds a map of members `a` and `b`, coordinated by one of them.
    fn map(&mut self, second: f64, term: i64, epoch: i64, coordinator: &str, slots: [&str; 2]) {
        let members = ["a", "b"].into_iter().zip(slots);
        let members: Vec<Value> =
            members.map(|(name, slots)| json!({ "name": name, "nonce": "n", "slots": slots })).collect();
        let coordinator = json!({ "name": coordinator, "podUid": coordinator, "nonce": "n" });
        let spec = json!({ "term": term, "epoch": epoch, "coordinator": coordinator, "members": members });
        self.write(
            second,
            coordinator["name"].as_str().unwrap(),
            "shardmaps",
            "",
            json!({ "metadata": { "name": "ksit" }, "spec": spec }),
        );
    }

    /// Adds a status of a target in slot 3 with a unique message.
    fn status(&mut self, second: f64, writer: &str, term: i64, reporter: &str, epoch: i64) {
        let message = self.events.len().to_string();
        self.status_with(second, writer, term, reporter, epoch, json!({ "message": message }));
    }

    fn status_with(&mut self, second: f64, writer: &str, term: i64, reporter: &str, epoch: i64, mut status: Value) {
        let own =
            json!({ "managedBy": "a/ksit", "coordinatorTerm": term, "reportedBy": reporter, "reportEpoch": epoch });
        status.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let metadata = json!({ "name": "c1", "labels": { "ksit.io/slot": "003" } });
        self.write(second, writer, "integrationtargets", "status", json!({ "metadata": metadata, "status": status }));
    }

    fn violations(&self) -> Vec<String> {
        check_events(&self.events).violations
    }
}

const FIRST: [&str; 2] = ["000-1ff", "200-3ff"];
const MOVED: [&str; 2] = ["000-002", "003-3ff"];

#[test]
fn valid_log_has_no_violation() {
    let mut log = Log::default();
    log.map(1.0, 1, 1, "a", FIRST);
    log.status(2.0, "a", 1, "a", 1);
    log.map(3.0, 2, 2, "b", FIRST);
    log.map(4.0, 2, 3, "b", MOVED);
    log.status(5.0, "b", 2, "b", 3);
    let checked = check_events(&log.events);
    assert_eq!((checked.violations, checked.maps, checked.statuses, checked.repaired), (vec![], 3, 2, 0));
}

#[test]
fn write_of_former_term_is_reported_unless_repaired_in_time() {
    let after_claim = |second: f64, repaired: Option<f64>| {
        let mut log = Log::default();
        log.map(1.0, 1, 1, "a", FIRST);
        log.map(3.0, 2, 2, "b", FIRST);
        log.status(second, "a", 1, "a", 1);
        if let Some(second) = repaired {
            log.status(second, "b", 2, "a", 2);
        }
        let checked = check_events(&log.events);
        (checked.violations.len(), checked.repaired)
    };
    assert_eq!(after_claim(3.05, Some(4.0)), (0, 1));
    assert_eq!(after_claim(3.05, Some(5.5)), (1, 0), "repaired too late");
    assert_eq!(after_claim(3.05, None), (1, 0), "never repaired");
    assert_eq!(after_claim(9.0, Some(9.1)), (1, 0), "no fence");
}

#[test]
fn decreasing_or_unclaimed_term_is_reported() {
    let mut log = Log::default();
    log.map(1.0, 1, 1, "a", FIRST);
    log.status(2.0, "a", 1, "a", 1);
    log.status(3.0, "a", 7, "a", 1);
    assert!(log.violations()[0].contains("no Pod claimed"), "{:?}", log.violations());
    log.status(4.0, "a", 1, "a", 1);
    assert!(log.violations()[1].contains("decreased from 7 to 1"), "{:?}", log.violations());
    let mut log = Log::default();
    log.map(1.0, 1, 1, "a", FIRST);
    log.status(2.0, "b", 1, "a", 1);
    assert!(log.violations()[0].contains("a Pod other than the writer"), "{:?}", log.violations());
}

#[test]
fn report_by_non_owner_of_slot_is_reported() {
    let status_of = |reporter: &str, epoch: i64| {
        let mut log = Log::default();
        log.map(1.0, 1, 1, "a", FIRST);
        log.map(2.0, 1, 2, "a", MOVED);
        log.status(3.0, "a", 1, reporter, epoch);
        log.violations().len()
    };
    assert_eq!(
        [("a", 1), ("b", 2), ("a", 2), ("b", 1), ("b", 3)].map(|(who, epoch)| status_of(who, epoch)),
        [0, 0, 1, 1, 1]
    );
    let mut log = Log::default();
    log.map(1.0, 1, 1, "a", FIRST);
    log.map(2.0, 1, 2, "a", FIRST);
    log.status(3.0, "a", 1, "a", 2);
    log.status(4.0, "a", 1, "a", 1);
    assert!(log.violations()[0].contains("after a report of epoch 2"), "{:?}", log.violations());
}

#[test]
fn invalid_map_is_reported() {
    let second_map = |term: i64, epoch: i64, coordinator: &str, slots: [&str; 2]| {
        let mut log = Log::default();
        log.map(1.0, 5, 5, "a", FIRST);
        log.map(2.0, term, epoch, coordinator, slots);
        log.violations().join("; ")
    };
    assert_eq!(second_map(5, 6, "a", MOVED), "");
    assert!(second_map(4, 6, "a", FIRST).contains("its term decreased"));
    assert!(second_map(5, 5, "a", MOVED).contains("without a higher epoch"));
    assert!(second_map(5, 6, "b", FIRST).contains("claimed by another process"));
    assert!(second_map(5, 6, "a", ["000-1ff", "201-3ff"]).contains("exactly one owner"));
    assert!(second_map(5, 6, "a", ["000-200", "200-3ff"]).contains("exactly one owner"));
}

#[test]
fn status_rewritten_with_same_meaning_is_reported() {
    let status = |minute: u32| {
        let time = format!("2030-01-01T00:{minute:02}:00Z");
        let condition = json!({ "type": "Ready", "status": "True", "lastTransitionTime": time });
        json!({ "phase": "Running", "lastSyncTime": time, "conditions": [condition] })
    };
    let mut log = Log::default();
    log.map(1.0, 1, 1, "a", FIRST);
    log.status_with(2.0, "a", 1, "a", 1, status(1));
    log.status_with(3.0, "a", 1, "a", 1, json!({ "phase": "Failed" }));
    log.status_with(4.0, "a", 1, "a", 1, status(2));
    assert_eq!(log.violations(), Vec::<String>::new());
    log.status_with(5.0, "a", 1, "a", 1, status(3));
    assert!(log.violations()[0].ends_with("has the same meaning as at 4"), "{:?}", log.violations());
    let mut log = Log::default();
    log.map(1.0, 1, 1, "a", FIRST);
    log.status_with(2.0, "a", 1, "a", 1, status(1));
    log.map(3.0, 2, 2, "b", FIRST);
    log.status_with(4.0, "b", 2, "a", 2, status(2));
    assert_eq!(log.violations(), Vec::<String>::new(), "another term");
}

#[test]
fn rewrite_after_unlogged_write_is_no_repeat() {
    let mut log = Log::default();
    log.map(1.0, 1, 1, "a", FIRST);
    log.status_with(2.0, "a", 1, "a", 1, json!({ "phase": "Running" }));
    // The API server stored another status and was killed before it logged that.
    log.version += 1;
    log.status_with(3.0, "a", 1, "a", 1, json!({ "phase": "Running" }));
    assert_eq!(log.violations(), Vec::<String>::new());
    log.status_with(4.0, "a", 1, "a", 1, json!({ "phase": "Running" }));
    assert_eq!(log.violations().len(), 1);
}
