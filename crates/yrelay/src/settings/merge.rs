//! Layers on top of each other: what is left of them.

use secrecy::{ExposeSecret as _, SecretString};
use yrelay::status::Role;
use yrelay::target::Address;

use super::value::{Fault, Layer, Origin, Value, switch};
use super::{Form, MESSAGES, PASSWORD, SERVER, USER, named};

/// A login that stood in an address.
struct Login {
    user: Option<String>,
    password: Option<SecretString>,
    origin: Origin,
}

/// For each setting the strongest source; what it replaces is not looked for in weaker ones.
pub(crate) fn merge(layers: Vec<Layer>, role: Role) -> Result<Layer, Fault> {
    let mut merged = Layer::new();
    for mut layer in layers {
        let login = take_login(&mut layer);
        pass_by_editors(&mut layer);
        layer.retain(|name, _| named(name).is_some_and(|setting| setting.serves(role)));
        add(&mut merged, &layer, login.filter(|_| role == Role::Service))?;
    }
    Ok(merged)
}

/// What one source says, to which no other adds anything.
pub(crate) fn alone(mut layer: Layer) -> Result<Layer, Fault> {
    let login = take_login(&mut layer);
    let mut merged = Layer::new();
    add(&mut merged, &layer, login)?;
    Ok(merged)
}

fn add(merged: &mut Layer, layer: &Layer, login: Option<Login>) -> Result<(), Fault> {
    // A login leads nowhere but to the address that it stood in.
    let leads_there = !merged.contains_key(SERVER.name);
    for (name, value) in layer {
        if let Some(other) = rival(name, value, layer) {
            return Err(value.origin.fault(format!("{name} and {other} exclude each other")));
        }
        put(merged, name, value);
    }
    if let Some(login) = login.filter(|_| leads_there) {
        put_login(merged, login);
    }
    Ok(())
}

fn put(merged: &mut Layer, name: &'static str, value: &Value) {
    if !merged.contains_key(name) && rival(name, value, merged).is_none() {
        merged.insert(name, value.clone());
    }
}

/// The other way of saying the same, if it is said there.
fn rival(name: &str, value: &Value, there: &Layer) -> Option<&'static str> {
    let claims = |name: &str, value: &Value| {
        named(name).is_some_and(|setting| setting.form != Form::Switch)
            || switch(value.text()) != Ok(false)
    };
    let replaces =
        |one: &str, other: &str| named(one).is_some_and(|it| it.instead_of.contains(&other));
    let found = there.iter().find(|(other, theirs)| {
        (replaces(name, other) || replaces(other, name)) && claims(other, theirs)
    });
    found.map(|(other, _)| *other).filter(|_| claims(name, value))
}

/// Takes the login out of the layer's address.
fn take_login(layer: &mut Layer) -> Option<Login> {
    let server = layer.get_mut(SERVER.name)?;
    let Address { target, user, password } = Address::parse(server.text().trim()).ok()?;
    if user.is_none() && password.is_none() {
        return None;
    }
    server.texts = vec![target.to_string()];
    Some(Login { user, password, origin: server.origin.clone() })
}

/// What stood beside the address, or in stronger places, counts before what stood in it; and a
/// password is its user's.
fn put_login(merged: &mut Layer, login: Login) {
    let Login { user, password, origin } = login;
    let is_same = match (&user, merged.get(USER.name)) {
        (Some(user), Some(other)) => user == other.text(),
        _ => true,
    };
    if let Some(user) = user {
        put(merged, USER.name, &Value::new(user, origin.clone()));
    }
    if let Some(password) = password.filter(|_| is_same) {
        put(merged, PASSWORD.name, &Value::new(password.expose_secret(), origin));
    }
}

/// What ELVA's editors speak does not concern its service, which always speaks ELVA's messages.
fn pass_by_editors(layer: &mut Layer) {
    let is_editors =
        |value: &Value| value.origin.is_elvas() && value.text().eq_ignore_ascii_case("yjs");
    if layer.get(MESSAGES.name).is_some_and(is_editors) {
        layer.remove(MESSAGES.name);
    }
}
