//! The director under those who start it, watch it and move it from one machine to another: the real ones,
//! as they are packaged.

mod install;
mod machine;
mod ocf;
mod services;
mod site;
