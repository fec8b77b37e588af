//! Comparison of a service's servers with one another, with time that stands still.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use super::*;
use crate::model::RealServer;
use crate::service::tests::{real, virtual_service};

/// Returns whether the first server of a service is found hung, that has others with this check, changed so.
async fn is_hung(others: &[&str], change: fn(&mut RealServer)) -> bool {
    let stopped = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stopped);
    let (sender, mut reports) = mpsc::unbounded_channel();
    let prober = move |check: Arc<Check>| -> crate::closer_look::Probe {
        let hangs = seen.load(Ordering::SeqCst) && check.target.port() == 81;
        Box::pin(async move {
            let took = Duration::from_millis(if hangs { 1_000 } else { 5 });
            tokio::time::sleep(took).await;
            Outcome {
                good: !hangs,
                ..Outcome::failed(String::new(), took)
            }
        })
    };
    let mut watches = Watches::new(Runner::new(Arc::new(prober), 100, sender));
    let services = [("10.9.9.9:80", &["10.0.0.1:81"][..]), ("10.9.9.8:80", &[])];
    let mut services = services.map(|(address, first)| {
        let servers = first.iter().chain(others).map(|address| {
            let mut server = real(address);
            server.rhythm.hang = Some(Duration::from_millis(100));
            if others.contains(address) {
                change(&mut server);
            }
            server
        });
        let mut service = Service::adopt(virtual_service(address, servers.collect()), None);
        watches.subscribe(&mut service);
        service
    });
    let mut hung = false;
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    let stop = end - Duration::from_secs(10);
    while let Ok(Some(report)) = tokio::time::timeout_at(end, async {
        tokio::select! {
            report = reports.recv() => report,
            () = tokio::time::sleep_until(stop), if !stopped.load(Ordering::SeqCst) => {
                stopped.store(true, Ordering::SeqCst);
                reports.recv().await
            }
        }
    })
    .await
    {
        hung |= report.outcome.text.contains("hangs");
        for subscriber in watches.record(&report) {
            let service = services
                .iter_mut()
                .find(|it| it.configured.id == subscriber.service);
            let server = service.and_then(|it| it.servers.get_mut(subscriber.server));
            server
                .unwrap()
                .record(subscriber.check, report.view, Some(&report.outcome));
        }
        for service in &mut services {
            let _ = service.reconcile(now());
            watches.update_serving(service);
        }
    }
    hung
}

#[tokio::test(start_paused = true)]
async fn a_server_is_compared_with_those_of_its_services_on_other_hosts() {
    assert!(is_hung(&["10.0.0.2:80"], |_| {}).await);
    assert!(!is_hung(&[], |_| {}).await);
    assert!(!is_hung(&["10.0.0.1:80"], |_| {}).await, "the same host");
}

#[tokio::test(start_paused = true)]
async fn a_server_is_not_compared_with_those_that_get_no_connections() {
    let backup = |server: &mut RealServer| server.backup = true;
    let drained = |server: &mut RealServer| server.settings.weight = 0;
    for change in [backup, drained] {
        assert!(!is_hung(&["10.0.0.2:80"], change).await);
    }
}
