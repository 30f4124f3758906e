//! The desktop's key ring: Secret Service, Keychain, Credential Manager. Alone names the crate
//! `keyring`, which is a large one: it is built in with the feature of that name.

/// Whether this program can ask it.
pub const IS_BUILT_IN: bool = cfg!(feature = "keyring");

/// What it has under this name. A person may be asked to unlock it.
#[cfg(feature = "keyring")]
pub(super) fn read(account: &str) -> Result<String, String> {
    let entry = keyring::Entry::new("yrelay", account).map_err(|error| match error {
        // The reason is kept elsewhere.
        keyring::Error::NoDefaultStore => match keyring::Entry::store_status() {
            Err(reason) => reason.to_string(),
            Ok(()) => error.to_string(),
        },
        _ => error.to_string(),
    });
    entry?.get_password().map_err(|error| error.to_string())
}

#[cfg(not(feature = "keyring"))]
pub(super) fn read(_: &str) -> Result<String, String> {
    Err("this yrelay is built without it".to_owned())
}
