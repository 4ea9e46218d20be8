use super::*;
use proptest::prelude::*;
use std::cell::Cell;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// What is measured of a service that `answers` as it is told by the time since the change began.
async fn measured(change_ms: u64, answers: impl Fn(u64) -> Option<u64>) -> (u64, u64, u64, u64) {
    let start = Cell::new(None::<Instant>);
    let ask = || {
        let now = start.get().map_or(0, |start| u64::try_from(start.elapsed().as_millis()).unwrap());
        let answer = answers(now);
        async move {
            match answer {
                Some(after) => {
                    tokio::time::sleep(Duration::from_millis(after)).await;
                    Ok(())
                }
                None => Err("refused".to_owned()),
            }
        }
    };
    let work = async {
        start.set(Some(Instant::now()));
        tokio::time::sleep(Duration::from_millis(change_ms)).await;
    };
    match during(work, ask).await.1 {
        Seen::Measured { downtime_ms, longest_gap_ms, probes, failed, .. } => {
            (downtime_ms, longest_gap_ms, probes, failed)
        }
        Seen::Unknown { why } => panic!("{why}"),
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_more_than_ten_times_a_second_and_what_answers_was_never_down() {
    let (down, gap, probes, failed) = measured(10_000, |_| Some(3)).await;
    assert_eq!((down, failed), (0, 0));
    assert!(gap <= 95 && probes > 105, "{gap} {probes}");
    // Slow is not down; the gap tells it.
    let (down, gap, ..) =
        measured(10_000, |now| Some(if (3_000..3_500).contains(&now) { 3_700 - now } else { 3 })).await;
    assert_eq!(down, 0);
    assert!((500..=700).contains(&gap), "{gap}");
}

#[tokio::test(start_paused = true)]
async fn refusals_and_silence_are_down_until_the_next_good_answer() {
    let refusing = |now: u64| (!(4_000..6_500).contains(&now)).then_some(2);
    let (down, gap, _, failed) = measured(10_000, refusing).await;
    assert!(down.abs_diff(2_500) <= 95 && gap.abs_diff(2_500) <= 190, "{down} {gap}");
    assert!((27..=28).contains(&failed), "{failed}");
    // Whoever is silent and then answers everything at once was down for as long.
    let silent = |now: u64| Some(if (4_000..7_000).contains(&now) { 7_000 - now } else { 2 });
    let (down, ..) = measured(10_000, silent).await;
    assert!(down.abs_diff(3_000) <= 95, "{down}");
    // Down when the change ends: down until then, no longer.
    let (down, ..) = measured(5_000, |now| (now < 4_000).then_some(2)).await;
    assert!(down.abs_diff(1_000) <= 95, "{down}");
    // Two outages add up.
    let twice = |now: u64| (!(1_000..2_000).contains(&now) && !(3_000..3_500).contains(&now)).then_some(1);
    let (down, gap, ..) = measured(5_000, twice).await;
    assert!(down.abs_diff(1_500) <= 190 && gap.abs_diff(1_000) <= 190, "{down} {gap}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_answer_before_the_change_is_unknown_and_the_change_happens_all_the_same() {
    let (done, seen) = during(async { 7 }, || async { Err("no route".to_owned()) }).await;
    assert_eq!(done, 7);
    assert_eq!(seen, Seen::Unknown { why: "it did not answer before the change: no route".into() });
    let (_, seen) = during(async {}, std::future::pending::<Result<(), String>>).await;
    assert_eq!(
        seen,
        Seen::Unknown { why: "it did not answer before the change: no answer within 1s".into() }
    );
}

proptest! {
    /// Answers in any order: downtime is never more than the time there was, nothing without a failure.
    #[test]
    fn numbers_are_within_bounds(answers in proptest::collection::vec((0_u64..50, any::<bool>()), 1..60)) {
        let mut meter = Meter::default();
        let mut now = 0;
        let mut failures = 0;
        for (step, good) in answers {
            now += step;
            let at = Duration::from_millis(now);
            if good {
                meter.good(at);
            } else {
                failures += 1;
                meter.bad(Duration::from_millis(now.saturating_sub(30)), at, "x".into());
            }
        }
        let Seen::Measured { downtime_ms, longest_gap_ms, failed, .. } = meter.end(Duration::from_millis(now)) else {
            return Err(TestCaseError::fail("not measured"));
        };
        prop_assert!(downtime_ms <= now && longest_gap_ms <= now);
        prop_assert_eq!(failed, failures);
        if failures == 0 {
            prop_assert_eq!(downtime_ms, 0);
        }
    }
}

/// A TLS server with the certificate that it wants itself; while `silent` it takes requests and answers none.
async fn server(listener: tokio::net::TcpListener, acceptor: TlsAcceptor, silent: watch::Receiver<bool>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let (acceptor, mut silent) = (acceptor.clone(), silent.clone());
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut buffer = vec![0; 4096];
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                if silent.wait_for(|silent| !silent).await.is_err() {
                    return;
                }
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[tokio::test]
async fn a_real_tls_server_that_is_silent_or_killed_for_a_known_time() {
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    use base64::Engine as _;
    let ca = base64::engine::general_purpose::STANDARD.encode(certified.cert.pem());
    let kubeconfig = kube::config::Kubeconfig::from_yaml(&format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster: {{server: 'https://{address}', \
         certificate-authority-data: {ca}}}\ncontexts:\n- name: c\n  context: {{cluster: c, user: u}}\nusers:\n- name: u\n  user: {{}}\n"
    ))
    .unwrap();
    let workload = crate::cluster::Workload::with(kubeconfig).await.unwrap();
    let (say, silent) = watch::channel(false);
    let serving = tokio::spawn(server(listener, acceptor.clone(), silent.clone()));
    let work = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let began = Instant::now();
        say.send_replace(true);
        tokio::time::sleep(Duration::from_millis(2_000)).await;
        say.send_replace(false);
        let silent_for = began.elapsed();
        tokio::time::sleep(Duration::from_millis(500)).await;
        silent_for
    };
    let (silent_for, seen) = during(work, || workload.api().answers()).await;
    let Seen::Measured { downtime_ms, failed, longest_gap_ms, probes, first_failure } = seen else {
        panic!("{seen:?}")
    };
    // A busy machine makes it longer, never shorter than an interval less.
    let truth = u64::try_from(silent_for.as_millis()).unwrap();
    assert!(downtime_ms + 100 >= truth && downtime_ms <= truth + 1_000, "{downtime_ms} instead of {truth}");
    assert!(
        failed >= 5 && probes > failed && longest_gap_ms + 1 >= downtime_ms,
        "{failed} of {probes}, {longest_gap_ms}"
    );
    assert_eq!(first_failure.as_deref(), Some("no answer within 1s"));

    let work = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        serving.abort();
        // The socket is closed when the task is gone; what is connected is let go by silence.
        say.send_replace(true);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        say.send_replace(false);
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let serving = tokio::spawn(server(listener, acceptor, silent));
        let down_for = began.elapsed();
        tokio::time::sleep(Duration::from_millis(500)).await;
        serving.abort();
        down_for
    };
    let (down_for, seen) = during(work, || workload.api().answers()).await;
    let Seen::Measured { downtime_ms, failed, .. } = seen else { panic!("{seen:?}") };
    let truth = u64::try_from(down_for.as_millis()).unwrap();
    assert!(downtime_ms + 100 >= truth && downtime_ms <= truth + 1_000, "{downtime_ms} instead of {truth}");
    assert!(failed >= 5, "{failed}");
}
