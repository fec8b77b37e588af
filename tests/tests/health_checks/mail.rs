//! SMTP and submission checks of Postfix, IMAP and POP checks of Dovecot.

use std::fs;

use lvs_api::model::Family::Ipv6;
use lvs_health::checkers::imap::Imap;
use lvs_health::checkers::mailbox::Mailbox;
use lvs_health::checkers::pop::Pop;
use lvs_health::checkers::smtp::Smtp;
use lvs_health::probe::tls::Tls;
use lvs_tests::lab::Island;
use lvs_tests::lab::island::{Server, give};

use crate::asker::{Asker, assert_says, credentials};
use crate::certificates::Authority;
use crate::faulty_proxy::{FaultyProxy, Manner, spoil};

#[test]
fn postfix_is_good_if_it_greets_and_answers() {
    let Some(island) = Island::for_story(&["postfix", "openssl"]) else {
        return;
    };
    let authority = Authority::new(&island).unwrap();
    let postfix = postfix(&island, &authority);
    let asker = Asker { island: &island };
    let smtp = Smtp { tls: None };
    let with_tls = |tls| Smtp { tls: Some(tls) };

    let good = "answer to EHLO \"250-mail.example\" from 10.9.0.1:25";
    asker.good(25, &smtp, good);
    asker.good(
        587,
        &with_tls(authority.tls(Some("mail.example"))),
        "answer to EHLO \"250-mail.example\" from 10.9.0.1:587",
    );
    let over_ipv6 = asker.ask(Ipv6, 25, smtp.clone());
    let good = "answer to EHLO \"250-mail.example\" from [fd00:9::1]:25";
    assert_says(&over_ipv6, true, good);

    asker.bad(
        587,
        &with_tls(Tls::default()),
        "no TLS handshake with 10.9.0.1:587: *certificate*",
    );
    asker.bad(
        587,
        &with_tls(authority.tls(Some("other.example"))),
        "no TLS handshake with 10.9.0.1:587: the certificate is for \"mail.example\"",
    );
    asker.bad(
        25,
        &with_tls(Tls::default()),
        "answer to STARTTLS \"5* from 10.9.0.1:25, expected 220",
    );
    // Whom its access table refuses.
    asker.bad(
        2525,
        &smtp,
        "greeting \"554 5.7.1 *rejected*\" from 10.9.0.1:2525, expected 220",
    );

    let reset = FaultyProxy::start(&island, 25, 4, Manner::Reset);
    asker.bad(
        reset.port,
        &smtp,
        "no * 10.9.0.1:*: connection reset by peer",
    );
    let silent = FaultyProxy::start(&island, 25, 40, Manner::Silence);
    asker.silent(
        silent.port,
        &smtp,
        "no answer to EHLO from 10.9.0.1:* in LIMIT",
    );

    spoil(&asker, 25, &smtp, &[0, 10, 40]);
    postfix.freeze();
    asker.silent(25, &smtp, "no greeting from 10.9.0.1:25 in LIMIT");
    postfix.thaw();
    postfix.stop().unwrap();
    asker.bad(25, &smtp, "connection to 10.9.0.1:25 refused");
}

/// On port 25 without TLS, on 587 with it, on 2525 for nobody.
fn postfix(island: &Island, authority: &Authority<'_>) -> Server {
    let (certificate, key) = authority.certify(&["mail.example"]).unwrap();
    let folder = island.make_folder("postfix", "root").unwrap();
    for name in ["queue", "data"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    give(&folder.join("data"), "postfix").unwrap();
    let (folder, certificate, key) = (folder.display(), certificate.display(), key.display());
    let settings = format!(
        "compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mail.example
inet_interfaces = all
inet_protocols = all
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
smtpd_error_sleep_time = 0
smtpd_peername_lookup = no
smtpd_tls_chain_files = {key}, {certificate}
"
    );
    fs::write(island.folder().join("postfix/main.cf"), settings).unwrap();
    let services = "\
smtp inet n - n - - smtpd
587 inet n - n - - smtpd
    -o smtpd_tls_security_level=may
2525 inet n - n - - smtpd
    -o smtpd_delay_reject=no
    -o smtpd_client_restrictions=reject
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";
    fs::write(island.folder().join("postfix/master.cf"), services).unwrap();
    let configuration = folder.to_string();
    island
        .start("postfix", &["-c", &configuration, "start-fg"], 25)
        .unwrap()
}

#[test]
fn dovecot_is_good_if_the_login_opens_the_mailbox() {
    let Some(island) = Island::for_story(&["dovecot", "openssl"]) else {
        return;
    };
    let authority = Authority::new(&island).unwrap();
    let dovecot = dovecot(&island, &authority);
    let asker = Asker { island: &island };
    let mailbox = |login: &str, password: &str, tls: Option<Tls>| Mailbox {
        credentials: credentials(login, password),
        tls,
    };
    let alice = mailbox("alice", "se cret\"\\", None);
    let stranger = mailbox("alice", "wrong", None);
    let nobody = Mailbox::default();
    let protected = mailbox("alice", "se cret\"\\", Some(authority.tls(None)));

    let pop = |mailbox: &Mailbox| Pop(mailbox.clone());
    asker.good(
        110,
        &pop(&nobody),
        "greeting \"+OK Dovecot*ready.\" from 10.9.0.1:110",
    );
    asker.good(110, &pop(&alice), "login to 10.9.0.1:110");
    asker.good(995, &pop(&protected), "login to 10.9.0.1:995");
    asker.bad(
        110,
        &pop(&stranger),
        "answer to PASS \"-ERR [AUTH] Authentication failed.\" from 10.9.0.1:110, expected +OK",
    );

    let imap = |mailbox: &Mailbox| Imap(mailbox.clone());
    asker.good(
        143,
        &imap(&nobody),
        "greeting \"* OK [CAPABILITY *\" from 10.9.0.1:143",
    );
    asker.good(143, &imap(&alice), "login to 10.9.0.1:143");
    asker.good(993, &imap(&protected), "login to 10.9.0.1:993");
    assert_says(
        &asker.ask(Ipv6, 143, imap(&alice)),
        true,
        "login to [fd00:9::1]:143",
    );
    asker.bad(
        143,
        &imap(&stranger),
        "answer to LOGIN \"1 NO [AUTHENTICATIONFAILED] *\" from 10.9.0.1:143, expected OK",
    );
    // Another server than the one that is expected there.
    asker.bad(
        143,
        &pop(&nobody),
        "greeting \"* OK *\" from 10.9.0.1:143, expected +OK",
    );
    asker.bad(
        110,
        &imap(&nobody),
        "greeting \"+OK *\" from 10.9.0.1:110, expected * OK",
    );
    asker.bad(
        993,
        &imap(&mailbox("alice", "secret", Some(Tls::default()))),
        "no TLS handshake with 10.9.0.1:993: *certificate*",
    );

    let cut = FaultyProxy::start(&island, 110, 40, Manner::Close);
    asker.bad(
        cut.port,
        &pop(&alice),
        "no answer to * from 10.9.0.1:*: connection closed",
    );
    spoil(&asker, 110, &pop(&alice), &[0, 10, 35]);
    spoil(&asker, 143, &imap(&alice), &[0, 10]);
    spoil(&asker, 993, &imap(&protected), &[0, 100]);
    dovecot.freeze();
    asker.silent(110, &pop(&nobody), "no greeting from 10.9.0.1:110 in LIMIT");
    asker.silent(
        143,
        &imap(&nobody),
        "no greeting from 10.9.0.1:143 in LIMIT",
    );
    asker.silent(
        993,
        &imap(&protected),
        "no TLS handshake with 10.9.0.1:993 in LIMIT",
    );
    dovecot.thaw();
    dovecot.stop().unwrap();
    asker.bad(110, &pop(&nobody), "connection to 10.9.0.1:110 refused");
    asker.bad(143, &imap(&nobody), "connection to 10.9.0.1:143 refused");
}

fn dovecot(island: &Island, authority: &Authority<'_>) -> Server {
    let (certificate, key) = authority.certify(&["mail.example"]).unwrap();
    let folder = island.make_folder("dovecot", "root").unwrap();
    island.make_folder("dovecot/mail", "mail").unwrap();
    fs::write(folder.join("users"), "alice:{PLAIN}se cret\"\\\n").unwrap();
    let (folder, certificate, key) = (folder.display(), certificate.display(), key.display());
    let settings = format!(
        "base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap pop3
listen = *, ::
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
auth_failure_delay = 0
mail_location = maildir:{folder}/mail/%u
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail/%u
}}
# No waiting for those who once failed.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"
    );
    let configuration = format!("{folder}/dovecot.conf");
    fs::write(&configuration, settings).unwrap();
    island
        .start("dovecot", &["-F", "-c", &configuration], 143)
        .unwrap()
}
