//! Health checks of each kind, made of real servers: good ones, and bad ones with the reason.

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
