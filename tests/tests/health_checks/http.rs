//! HTTP and HTTPS checks of nginx, proxy checks of Squid.

use std::fs::{self, File};

use lvs_api::model::Family::Ipv6;
use lvs_health::checkers::http::{Http, HttpProxy, Limits};
use lvs_health::checkers::tls::Handshake;
use lvs_health::credentials::Credentials;
use lvs_health::probe::tls::Tls;
use lvs_tests::lab::Island;
use lvs_tests::lab::island::Server;

use crate::asker::{Asker, assert_says, credentials, pattern};
use crate::certificates::Authority;
use crate::faulty_proxy::{FaultyProxy, Manner, spoil};

fn http(request: &str) -> Http {
    Http {
        method: "GET".to_owned(),
        request: request.to_owned(),
        virtual_host: None,
        status: Vec::new(),
        receive: None,
        credentials: Credentials::default(),
        redirects: 0,
        limits: Limits::default(),
        tls: None,
    }
}

fn receiving(request: &str, expression: &str) -> Http {
    Http {
        receive: Some(pattern(expression)),
        ..http(request)
    }
}

#[test]
fn nginx_is_good_if_the_page_matches() {
    let Some(island) = Island::for_story(&["nginx", "openssl"]) else {
        return;
    };
    let authority = Authority::new(&island).unwrap();
    let nginx = nginx(&island, &authority);
    let asker = Asker { island: &island };
    let page = http("/");

    asker.good(80, &page, "HTTP 200 from 10.9.0.1:80");
    asker.good(
        80,
        &receiving("/", "^hello from 10\\.9\\.0\\.1$"),
        "HTTP 200 from 10.9.0.1:80",
    );
    let over_ipv6 = asker.ask(Ipv6, 80, page.clone());
    assert_says(&over_ipv6, true, "HTTP 200 from [fd00:9::1]:80");
    let named = |name: &str| Http {
        virtual_host: Some(name.to_owned()),
        receive: Some(pattern(&format!("hello from {name}"))),
        ..http("/")
    };
    asker.good(80, &named("one.example"), "HTTP 200 from 10.9.0.1:80");
    let private = |password: &str| Http {
        credentials: credentials("alice", password),
        ..http("/private")
    };
    asker.good(80, &private("secret"), "HTTP 200 from 10.9.0.1:80");
    let refused = Http {
        status: vec![200..=299, 503..=503],
        ..http("/refused")
    };
    asker.good(80, &refused, "HTTP 503 from 10.9.0.1:80");
    let following = |request: &str| Http {
        redirects: 3,
        ..http(request)
    };
    let good = "HTTP 200 (redirected to \"http://10.9.0.1/\") from 10.9.0.1:80";
    asker.good(80, &following("/redirect"), good);
    asker.good(80, &http("/large"), "HTTP 200 from 10.9.0.1:80");

    asker.bad(
        80,
        &http("/refused"),
        "HTTP 503 from 10.9.0.1:80, expected 2xx",
    );
    asker.bad(
        80,
        &http("/none"),
        "HTTP 404 from 10.9.0.1:80, expected 2xx",
    );
    asker.bad(
        80,
        &private("wrong"),
        "HTTP 401 from 10.9.0.1:80, expected 2xx",
    );
    asker.bad(
        80,
        &http("/redirect"),
        "HTTP 301 from 10.9.0.1:80, expected 2xx",
    );
    asker.bad(
        80,
        &following("/round"),
        "HTTP 302 (redirected to \"*/round\") from 10.9.0.1:80, expected 2xx",
    );
    asker.bad(
        80,
        &receiving("/", "goodbye"),
        "HTTP 200 with \"hello from 10.9.0.1\" from 10.9.0.1:80, expected \"goodbye\"",
    );
    asker.bad(
        80,
        &receiving("/large", "goodbye"),
        "HTTP 200 with the first 1048576 bytes \"*\" from 10.9.0.1:80, expected \"goodbye\"",
    );
    asker.silent(
        80,
        &receiving("/slow", "end"),
        "no rest of the answer from 10.9.0.1:80 in LIMIT",
    );
    let reset = FaultyProxy::start(&island, 80, 30, Manner::Reset);
    let text = "no answer from 10.9.0.1:*: connection reset by peer";
    asker.bad(reset.port, &page, text);
    spoil(&asker, 80, &receiving("/", "goodbye"), &[0, 30]);

    https(&asker, &authority);
    nginx.freeze();
    asker.silent(80, &page, "no answer from 10.9.0.1:80 in LIMIT");
    nginx.thaw();
    nginx.stop().unwrap();
    asker.bad(80, &page, "connection to 10.9.0.1:80 refused");
}

/// Two names at one address, each with a certificate of its own.
fn https(asker: &Asker<'_>, authority: &Authority<'_>) {
    let https = |tls: Tls, name: Option<&str>| Http {
        tls: Some(tls),
        virtual_host: name.map(str::to_owned),
        receive: name.map(|name| pattern(&format!("^hello from {name}$"))),
        ..http("/")
    };
    let good = "HTTP 200 from 10.9.0.1:443";
    for name in ["one.example", "two.example"] {
        asker.good(443, &https(authority.tls(Some(name)), Some(name)), good);
    }
    // No name is asked for, and none is verified: whichever certificate comes first.
    asker.good(443, &https(authority.tls(None), None), good);
    let unverified = Tls {
        unverified: true,
        ..Tls::default()
    };
    asker.good(443, &https(unverified, None), good);
    asker.good(
        443,
        &Handshake(authority.tls(None)),
        "TLS handshake with 10.9.0.1:443",
    );

    asker.bad(
        443,
        &https(Tls::default(), None),
        "no TLS handshake with 10.9.0.1:443: *certificate*",
    );
    asker.bad(
        443,
        &https(authority.tls(Some("three.example")), None),
        "no TLS handshake with 10.9.0.1:443: the certificate is for \"one.example\"",
    );
    asker.bad(
        80,
        &https(authority.tls(None), None),
        "no TLS handshake with 10.9.0.1:80: *",
    );
    spoil(asker, 443, &https(authority.tls(None), None), &[0, 100]);
}

fn nginx(island: &Island, authority: &Authority<'_>) -> Server {
    let folder = island.make_folder("nginx", "root").unwrap();
    let large = File::create(folder.join("large")).unwrap();
    large.set_len(100 << 20).unwrap();
    fs::write(folder.join("users"), "alice:{PLAIN}secret\n").unwrap();
    let named = ["one.example", "two.example"].map(|name| {
        let (certificate, key) = authority.certify(&[name]).unwrap();
        let (certificate, key) = (certificate.display(), key.display());
        format!(
            "server {{ listen 443 ssl; listen [::]:443 ssl; server_name {name};
        ssl_certificate {certificate}; ssl_certificate_key {key};
        location / {{ return 200 \"hello from $host\"; }} }}"
        )
    });
    let named = named.join("\n    ");
    let folder = folder.display();
    let settings = format!(
        "daemon off;
master_process off;
user root;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 80 default_server;
        listen [::]:80 default_server;
        location = / {{ return 200 \"hello from $host\"; }}
        location = /refused {{ return 503; }}
        location = /redirect {{ return 301 http://10.9.0.1/; }}
        location = /round {{ return 302 http://10.9.0.1/round; }}
        location = /large {{ alias {folder}/large; }}
        location = /slow {{ alias {folder}/large; limit_rate 1000; }}
        location = /private {{
            auth_basic private;
            auth_basic_user_file {folder}/users;
            alias {folder}/users;
        }}
    }}
    {named}
}}
"
    );
    let configuration = format!("{folder}/nginx.conf");
    fs::write(&configuration, settings).unwrap();
    let log = format!("{folder}/error.log");
    island
        .start("nginx", &["-c", &configuration, "-e", &log], 80)
        .unwrap()
}

#[test]
fn squid_is_good_if_it_fetches_the_page() {
    let Some(island) = Island::for_story(&["squid", "nginx", "openssl"]) else {
        return;
    };
    let authority = Authority::new(&island).unwrap();
    let _nginx = nginx(&island, &authority);
    let squid = squid(&island);
    let asker = Asker { island: &island };
    let proxied = |url: &str| {
        HttpProxy(Http {
            receive: Some(pattern("hello")),
            ..http(url)
        })
    };
    let page = proxied("http://10.9.0.1/");
    asker.good(3128, &page, "HTTP 200 from 10.9.0.1:3128");

    // Through a tunnel, whose other end has a certificate of an authority that this machine does not
    // know.
    asker.bad(
        3128,
        &proxied("https://10.9.0.1/"),
        "no TLS handshake with 10.9.0.1:3128: *certificate*",
    );
    let known = HttpProxy(Http {
        tls: Some(authority.tls(Some("one.example"))),
        virtual_host: Some("one.example".to_owned()),
        ..http("https://10.9.0.1/")
    });
    asker.good(3128, &known, "HTTP 200 from 10.9.0.1:3128");
    asker.bad(
        3128,
        &proxied("http://10.9.0.1:81/"),
        "HTTP 403 from 10.9.0.1:3128, expected 2xx",
    );
    // Nobody listens there.
    asker.bad(
        3128,
        &proxied("http://10.9.0.1:88/"),
        "HTTP 503 from 10.9.0.1:3128, expected 2xx",
    );
    asker.bad(
        3128,
        &proxied("/"),
        "10.9.0.1:3128 not probed: \"/\" is no URL to ask a proxy for",
    );
    squid.freeze();
    asker.silent(3128, &page, "no answer from 10.9.0.1:3128 in LIMIT");
    squid.thaw();
    squid.stop().unwrap();
    asker.bad(3128, &page, "connection to 10.9.0.1:3128 refused");
}

fn squid(island: &Island) -> Server {
    let folder = island.make_folder("squid", "proxy").unwrap();
    let folder = folder.display();
    let settings = format!(
        "http_port 3128
acl forbidden port 81
http_access deny forbidden
http_access allow all
cache deny all
access_log none
cache_log {folder}/cache.log
pid_filename {folder}/pid
coredump_dir {folder}
cache_effective_user proxy
shutdown_lifetime 0 seconds
pinger_enable off
netdb_filename none
visible_hostname squid.example
dns_nameservers 127.0.0.1
"
    );
    let configuration = format!("{folder}/squid.conf");
    fs::write(&configuration, settings).unwrap();
    island
        .start("squid", &["-N", "-f", &configuration], 3128)
        .unwrap()
}
