//! `checktype = connect`: a TCP connection is accepted.

use socket2::SockRef;

use super::{Found, Probe, connection, socket};
use crate::outcome::Failure;

/// Connects, and resets the connection as soon as the server has answered the SYN.
///
/// The answer to the SYN is all there is to know. It is answered by a reset instead of completing the
/// connection, as HAProxy does: the server's program is not woken, has nothing to log, and neither
/// side keeps a connection in TIME-WAIT for each of thousands of probes a second. For that the kernel
/// must delay the acknowledgement (tcp_input.c: tcp_rcv_synsent_state_process).
pub(crate) async fn probe(probe: &Probe<'_>) -> Found {
    let awaited = "connection";
    probe.awaits(awaited);
    let failed = |source| Failure::Io { awaited, source };
    let socket = socket::tcp(probe, probe.target()).await.map_err(failed)?;
    SockRef::from(&socket)
        .set_tcp_quickack(false)
        .map_err(failed)?;
    socket.set_zero_linger().map_err(failed)?;
    connection::connect(probe, socket, probe.target()).await?;
    Ok(awaited.to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};
    use std::time::Duration;

    use socket2::{Domain, Socket, Type};
    use tokio::net::TcpListener;

    use crate::check::{Check, Kind};
    use crate::checkers::simpletcp::SimpleTcp;
    use crate::outcome::Outcome;
    use crate::prober::Prober;
    use crate::testing::{assert_says, check, short};

    async fn ask(check: &Check) -> Outcome {
        Prober::default().run(check).await
    }

    #[tokio::test]
    async fn a_listening_server_is_up() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).await.unwrap();
            let server = listener.local_addr().unwrap();
            let outcome = ask(&check(Kind::Connect, server)).await;
            let text = format!("connection to {server} after N ms");
            assert_says(&outcome, true, &text);
        }
    }

    #[tokio::test]
    async fn a_closed_port_refuses() {
        let server = TcpListener::bind("127.0.0.1:0")
            .await
            .and_then(|listener| listener.local_addr())
            .unwrap();
        let outcome = ask(&check(Kind::Connect, server)).await;
        let text = format!("connection to {server} refused after N ms");
        assert_says(&outcome, false, &text);
        assert!(!outcome.inconclusive);
    }

    #[tokio::test]
    async fn an_unreachable_network_is_a_failure() {
        // Not to be sent to from here (RFC 1112, section 4); TCP does not, either.
        let target = "255.255.255.255:80".parse().unwrap();
        let outcome = ask(&check(Kind::Connect, target)).await;
        assert!(!outcome.good && !outcome.inconclusive, "{}", outcome.text);
    }

    /// A server whose queue of connections is full ignores SYNs (tcp_input.c: tcp_conn_request).
    fn full() -> (Vec<Socket>, SocketAddr) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let server = listener.local_addr().unwrap().as_socket().unwrap();
        let mut sockets = vec![listener];
        for _ in 0..8 {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            client.connect(&server.into()).ok();
            sockets.push(client);
        }
        (sockets, server)
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_the_syn_is_given_up_after_the_shorter_timeout() {
        let (_sockets, server) = full();
        let (plenty, limit) = (Duration::from_mins(1), Duration::from_millis(200));
        for (connect_timeout, timeout) in [(limit, plenty), (plenty, limit)] {
            let check = Check {
                connect_timeout,
                timeout,
                ..check(Kind::Connect, server)
            };
            let outcome = ask(&check).await;
            let text = format!("no connection to {server} in 200 ms");
            assert_says(&outcome, false, &text);
        }
    }

    #[tokio::test]
    async fn a_syn_that_is_not_answered_is_repeated() {
        let (mut sockets, server) = full();
        let check = check(Kind::Connect, server);
        let mut probe = std::pin::pin!(ask(&check));
        let moment = Duration::from_millis(200);
        assert!(tokio::time::timeout(moment, &mut probe).await.is_err());
        // Empty the queue.
        sockets.truncate(1);
        sockets[0].set_nonblocking(true).unwrap();
        while sockets[0].accept().is_ok() {}
        let outcome = probe.await;
        assert!(outcome.good && outcome.took > moment, "{}", outcome.text);
    }

    #[tokio::test]
    async fn the_servers_program_is_not_woken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let outcome = ask(&check(Kind::Connect, server)).await;
        assert!(outcome.good, "{}", outcome.text);
        // The client after the probe is first in the queue.
        let client = tokio::net::TcpStream::connect(server).await.unwrap();
        let (_, from) = listener.accept().await.unwrap();
        assert_eq!(from, client.local_addr().unwrap());
    }

    #[tokio::test]
    async fn it_comes_from_the_configured_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let from = |source: &str| Check {
            source: Some(source.parse::<IpAddr>().unwrap()),
            ..short(Kind::Negotiate(connects_in_full().into()), server)
        };
        let outcome = Prober::default().run(&from("127.0.0.9")).await;
        assert!(!outcome.inconclusive, "{}", outcome.text);
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip().to_string(), "127.0.0.9");

        // An address that this machine does not have: that is not the server's fault.
        let outcome = Prober::default().run(&from("192.0.2.1")).await;
        let text = format!("no connection to {server} after N ms: cannot assign requested address");
        assert_says(&outcome, false, &text);
        assert!(outcome.inconclusive);
    }

    #[tokio::test]
    async fn it_comes_from_an_address_of_either_family() {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        for source in ["::1", "127.0.0.9"] {
            // One of the other family than the server's says nothing about it.
            let from = Check {
                source: Some(source.parse().unwrap()),
                ..check(Kind::Connect, server)
            };
            let outcome = ask(&from).await;
            let text = format!("connection to {server} after N ms");
            assert_says(&outcome, true, &text);
        }
        // One that this machine does not have is not the server's fault.
        let from = Check {
            source: Some("2001:db8::1".parse().unwrap()),
            ..check(Kind::Connect, server)
        };
        let outcome = ask(&from).await;
        assert!(outcome.inconclusive, "{}", outcome.text);
    }

    #[tokio::test]
    async fn a_thousand_at_once_have_each_its_own_outcome() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let gone = SocketAddr::new("127.0.0.2".parse().unwrap(), there.port());
        let checks: Vec<_> = (0..1_000)
            .map(|number| check(Kind::Connect, [there, gone][number % 2]))
            .collect();
        let prober = Prober::default();
        let outcomes = checks.iter().map(|check| prober.run(check));
        let outcomes = futures_util::future::join_all(outcomes).await;
        for (check, outcome) in checks.iter().zip(&outcomes) {
            assert_eq!(outcome.good, check.target == there, "{}", outcome.text);
        }
    }

    fn connects_in_full() -> SimpleTcp {
        SimpleTcp {
            request: String::new(),
            receive: None,
        }
    }
}
