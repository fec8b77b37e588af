//! Probes of real servers: each is shown to be good, and to be bad for the right reason.

mod asker;
mod certificates;
mod dns;
mod faulty_proxy;
mod ftp;
mod http;
mod ldap;
mod mail;
mod mariadb;
mod nntp;
mod postgresql;
mod radius;
mod redis;
mod sip;
