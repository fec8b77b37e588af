//! The controller: who serves, as servers die and come back, files change and operators order.

mod care;
mod costs;
mod life;
mod orders;
mod path;
mod reload;
mod signals;
mod together;
mod weights;
