//! Effects of one round on the next, and of one target on others.

use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn dead_connection_is_replaced_without_a_failure() {
    for http in [Http::One, Http::Two] {
        let server = FaultyApiServer::with(Fault::None, http, Certificate::Good).await;
        let cluster = cluster(&server);
        assert_healthy(&cluster).await;
        server.cut();
        assert_healthy(&cluster).await;
        server.cut();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_healthy(&cluster).await;
        assert_eq!(server.connections(), 3, "{http:?}");
    }
}

#[tokio::test]
async fn graceful_close_loses_no_answer() {
    for http in [Http::One, Http::Two] {
        for after in [1, 3] {
            let server = FaultyApiServer::with(Fault::CloseAfter(after), http, Certificate::Good).await;
            assert_healthy(&cluster(&server)).await;
            assert!(server.connections() <= 8, "{} connections over {http:?}", server.connections());
        }
    }
}

#[tokio::test]
async fn round_after_a_fault_starts_clean() {
    let faults = [Fault::NeverAnswer, Fault::Status(500), Fault::InvalidJson, Fault::Drip, Fault::ResetMidBody];
    let mut rows = JoinSet::new();
    for fault in faults {
        for http in [Http::One, Http::Two] {
            // In tasks, as in the controllers.
            rows.spawn(async move {
                let server = FaultyApiServer::with(fault, http, Certificate::Good).await;
                let cluster = cluster(&server);
                failure_of(&cluster, &server).await;
                server.set(Fault::None);
                assert_healthy(&cluster).await;
                assert_eq!(server.connections(), 2, "{fault:?} over {http:?}");
            });
        }
    }
    rows.join_all().await;
}

#[tokio::test]
async fn cancelled_round_leaves_a_working_cluster() {
    for http in [Http::One, Http::Two] {
        let server = FaultyApiServer::with(Fault::NeverAnswer, http, Certificate::Good).await;
        let cluster = cluster(&server);
        let (queries, limit) = (queries(), Duration::from_millis(200));
        assert!(tokio::time::timeout(limit, Reflector::read(&cluster, &queries, Standing::Healthy)).await.is_err());
        server.set(Fault::None);
        assert_healthy(&cluster).await;
    }
}

#[tokio::test]
async fn paged_list_restarts_once_after_an_expired_token() {
    let server = FaultyApiServer::start(Fault::Pages(4)).await;
    let only = list(ListKind::Deployment, "argocd");
    let snapshot =
        Reflector::read(&cluster(&server), &BTreeSet::from([only.clone()]), Standing::Healthy).await.unwrap();
    let Answer::Workloads(found) = &snapshot[&only] else { panic!("{snapshot:?}") };
    assert_eq!(found.len(), 4, "no object of the first attempt remains");
    assert_eq!(server.requests(), 8);
}

#[tokio::test]
async fn endless_list_is_abandoned() {
    let server = FaultyApiServer::start(Fault::EndlessPages).await;
    let settings = Settings { round_timeout: Duration::from_secs(30), ..Settings::default() };
    let cluster = Cluster::new(connection(&server), Arc::new(Limits::new(settings)));
    let only = BTreeSet::from([list(ListKind::Deployment, "argocd")]);
    let failure = Reflector::read(&cluster, &only, Standing::Healthy).await.unwrap_err();
    assert_eq!((failure.reason, server.requests()), (Reason::AnswerTooLarge, 200));
}

#[tokio::test]
async fn large_answers_wait_for_memory_and_are_read() {
    for (http, retries) in [(Http::One, false), (Http::Two, true)] {
        let server = FaultyApiServer::with(Fault::Large(CAP / 2), http, Certificate::Good).await;
        let settings = Settings {
            round_timeout: Duration::from_secs(60),
            body_bytes: CAP,
            bodies_bytes: CAP + CAP / 2,
            ..Settings::default()
        };
        let limits = Arc::new(Limits::new(settings));
        let clusters: Vec<_> = (0..20).map(|_| Cluster::new(connection(&server), limits.clone())).collect();
        join_all(clusters.iter().map(assert_healthy)).await;
        let needed = clusters.len() * (queries().len() + DISCOVERY);
        let requests = server.requests();
        assert_eq!(requests > needed, retries, "{requests} requests over {http:?} where {needed} are needed");
        assert_eq!(server.connections(), clusters.len(), "{http:?}");
    }
}

#[tokio::test]
async fn hung_targets_do_not_delay_a_healthy_one() {
    let settings = Settings { connects: 10, connect_timeout: Duration::from_secs(3), ..Settings::default() };
    let limits = Arc::new(Limits::new(settings));
    let hung = FaultyApiServer::start(Fault::HangInTls).await;
    let healthy = FaultyApiServer::start(Fault::None).await;
    let clusters: Vec<_> = (0..40).map(|_| Cluster::new(connection(&hung), limits.clone())).collect();
    let all_queries = queries();
    let hanging = join_all(clusters.iter().map(|cluster| Reflector::read(cluster, &all_queries, Standing::Failing)));
    let good = Cluster::new(connection(&healthy), limits.clone());
    let read = async {
        // Until the hung targets hold all the permits they can get.
        while hung.connections() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let started = Instant::now();
        assert_healthy(&good).await;
        started.elapsed()
    };
    tokio::select! {
        took = read => assert!(took < Duration::from_secs(1), "{took:?}"),
        _ = hanging => panic!("they hang"),
    }
    assert_eq!(hung.connections(), 3, "30 % of ten");
}

#[tokio::test]
async fn waiting_for_a_permit_costs_no_connect_time() {
    let settings = Settings {
        connects: 1,
        round_timeout: ROUND,
        connect_timeout: Duration::from_millis(400),
        ..Settings::default()
    };
    let limits = Arc::new(Limits::new(settings));
    let hung = FaultyApiServer::start(Fault::HangInTls).await;
    let healthy = FaultyApiServer::start(Fault::None).await;
    let clusters: Vec<_> = (0..5).map(|_| Cluster::new(connection(&hung), limits.clone())).collect();
    let all_queries = queries();
    let good = Cluster::new(connection(&healthy), limits);
    let hanging = join_all(clusters.iter().map(|cluster| Reflector::read(cluster, &all_queries, Standing::Healthy)));
    let (failed, _) = tokio::join!(hanging, assert_healthy(&good));
    assert!(failed.iter().all(|read| read.as_ref().is_err_and(|failure| failure.reason == Reason::TimedOut)));
}

#[tokio::test]
async fn changed_credential_replaces_the_cluster_and_connection() {
    let server = FaultyApiServer::start(Fault::None).await;
    let manager = ClusterManager::new(limits());
    let key = TargetKey::new("default", "c1");
    let first = manager.ensure(&key, connection(&server));
    assert_healthy(&first).await;
    let same = manager.ensure(&key, connection(&server));
    assert!(Arc::ptr_eq(&first, &same), "the same kubeconfig keeps its connection");
    assert_healthy(&same).await;
    assert_eq!(server.connections(), 1);

    let rotated = manager.ensure(&key, connection_of(&server.kubeconfig_with("another")));
    assert!(!Arc::ptr_eq(&first, &rotated));
    assert_healthy(&rotated).await;
    assert_eq!((server.connections(), manager.len()), (2, 1));
    until_open(&server, 1).await;
    manager.forget(&key);
    assert!(manager.is_empty());
    until_open(&server, 0).await;
}

/// Waits until the server has this many open connections.
async fn until_open(server: &FaultyApiServer, connections: usize) {
    let closing = async {
        while server.open_connections() != connections {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), closing).await.expect("old connections are closed");
}

#[tokio::test]
async fn target_without_queries_is_still_probed() {
    let server = FaultyApiServer::start(Fault::None).await;
    let cluster = cluster(&server);
    let nothing = BTreeSet::new();
    assert_eq!(Reflector::read(&cluster, &nothing, Standing::Healthy).await, Ok(Snapshot::new()));
    assert_eq!(server.requests(), 1);
    server.set(Fault::NeverAnswer);
    assert_eq!(Reflector::read(&cluster, &nothing, Standing::Healthy).await.unwrap_err().reason, Reason::TimedOut);
    for (fault, reason) in [
        (Fault::Status(401), Reason::Unauthorized),
        (Fault::FrontDoor(404), Reason::InvalidAnswer),
        (Fault::FrontDoor(200), Reason::InvalidAnswer),
    ] {
        server.set(fault);
        assert_eq!(Reflector::read(&cluster, &nothing, Standing::Healthy).await.unwrap_err().reason, reason);
    }
}

#[tokio::test]
async fn own_kubeconfig_may_be_loopback_and_insecure() {
    let server = FaultyApiServer::with(Fault::None, Http::Two, Certificate::UnknownCa).await;
    let url = format!("https://{}", server.address());
    let trusted = |ca| {
        let credential = Credential::from(secrecy::SecretString::from(PLANTED_TOKEN));
        Connection::trusted(Trusted { server: &url, ca, server_name: None, proxy: None, credential })
    };
    assert_healthy(&Cluster::new(trusted(Authority::Anyone).unwrap(), limits())).await;
    let rubbish = vec![PLANTED_ANSWER.as_bytes().to_vec().into()];
    let error = trusted(Authority::Kubeconfig(rubbish)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "KubeconfigInvalid: certificate-authority-data holds no certificate that can be used as a CA"
    );
}

#[tokio::test]
async fn watch_that_does_not_open_is_polled() {
    for fault in [Fault::HoldWatches, Fault::RefuseWatches(500), Fault::RefuseWatches(429), Fault::RefuseWatches(404)] {
        let server = FaultyApiServer::start(fault).await;
        let cluster = cluster(&server);
        let mut reflector = Reflector::default();
        for _ in 0..2 {
            reflector
                .refresh(&cluster, &queries(), Standing::Healthy)
                .await
                .unwrap_or_else(|failure| panic!("{fault:?}: {failure}"));
            assert!(queries().iter().all(|query| reflector.snapshot().contains_key(query)), "{fault:?}");
            let Some(CheckMode::Poll(why)) = reflector.mode("c1") else { panic!("{fault:?}: it is polled") };
            assert_eq!(why.reason, Reason::WatchBroken, "{fault:?}");
        }
        assert_eq!(server.connections(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn watch_mode_is_unknown_before_the_first_answer() {
    let server = FaultyApiServer::start(Fault::Status(503)).await;
    let cluster = cluster(&server);
    let mut reflector = Reflector::default();
    reflector.refresh(&cluster, &queries(), Standing::Healthy).await.unwrap_err();
    assert_eq!(reflector.mode("c1"), None);
}

/// Seven requests of 0.6 s each don't fit into a round of 3 s, and none of them is late.
#[tokio::test]
async fn http1_round_goes_on_while_each_request_is_answered() {
    let server = FaultyApiServer::with(Fault::Slow(600), Http::One, Certificate::Good).await;
    assert_healthy(&cluster(&server)).await;
    server.set(Fault::NeverAnswer);
    let started = Instant::now();
    let failure = Reflector::read(&cluster(&server), &queries(), Standing::Healthy).await.unwrap_err();
    assert_eq!(failure.reason, Reason::TimedOut);
    assert!(started.elapsed() < ROUND * 2, "a request has the time of one round: {:?}", started.elapsed());
}
