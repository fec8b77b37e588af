//! Devices that run no XDP program, or take no frames from one: packets come and go all the same.

mod debian;
mod kinds;
mod mtu;
mod serving;
mod tried;
mod tun;
mod upper;
