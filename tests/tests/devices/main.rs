//! Devices that run no XDP program, or take no frames from one: packets come and go all the same.

mod kinds;
mod tried;
