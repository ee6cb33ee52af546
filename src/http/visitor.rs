//! Who clicks: the visitor's address, country and browser, as far as they can be believed.
//!
//! The address is the connection's. Only a peer inside `trusted_proxies` may name another in its
//! header, and of a list the last entry that is no trusted proxy counts: whatever stands before it was
//! written by the visitor himself.
//!
//! **Invariant:** a header of an untrusted peer changes neither address nor country.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::http::header::USER_AGENT;
use axum::http::{Extensions, HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

use crate::config;

/// Countries whose visitors' addresses are not kept (EU, EEA without LI and NO, GB), as in the contract.
const NO_ADDRESS_KEPT: &[&str] = &[
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR", "HR", "HU", "IE", "IT", "LT", "LU",
    "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
];
const USER_AGENT_MAX: usize = 1024;

/// The other end of the connection; the server puts it into every request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// One visitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Visitor {
    pub(super) address: IpAddr,
    pub(super) country: Option<String>,
    pub(super) user_agent: String,
}

impl Visitor {
    pub(super) fn of(headers: &HeaderMap, extensions: &Extensions, config: &config::Http) -> Self {
        let peer = peer(extensions);
        let country = is_trusted(peer, config).then(|| country(headers, config)).flatten();
        Self {
            address: address_of(headers, peer, config),
            country,
            user_agent: text(headers, &USER_AGENT, USER_AGENT_MAX).unwrap_or_default(),
        }
    }

    /// SHA-256 of domain, key, address and browser: who visits what.
    pub(super) fn hash(&self, domain: &str, key: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [domain, key, &self.address.to_string(), &self.user_agent] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.finalize().into()
    }

    /// The address to keep; empty where the law of the visitor's country forbids it.
    pub(super) fn kept_address(&self) -> String {
        match self.country.as_deref() {
            Some(country) if NO_ADDRESS_KEPT.contains(&country) => String::new(),
            _ => self.address.to_string(),
        }
    }
}

/// The other end's own address.
pub(super) fn peer(extensions: &Extensions) -> IpAddr {
    extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0.ip()).to_canonical()
}

/// Whose request it is: the peer's, or that of whom a trusted peer names.
pub(super) fn address_of(headers: &HeaderMap, peer: IpAddr, config: &config::Http) -> IpAddr {
    let named = is_trusted(peer, config).then(|| forwarded(headers, config)).flatten();
    named.unwrap_or(peer)
}

/// A header as text, cut to `max` bytes; bytes that are no UTF-8 are replaced.
pub(super) fn text(headers: &HeaderMap, name: &HeaderName, max: usize) -> Option<String> {
    let mut text = String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned();
    text.truncate(text.floor_char_boundary(max));
    Some(text)
}

fn is_trusted(address: IpAddr, config: &config::Http) -> bool {
    config.trusted_proxies.iter().any(|network| network.contains(&address))
}

fn forwarded(headers: &HeaderMap, config: &config::Http) -> Option<IpAddr> {
    let values = headers.get_all(&config.client_ip_header);
    let entries: Vec<&str> =
        values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).collect();
    for entry in entries.iter().rev() {
        let address = address(entry.trim())?.to_canonical();
        if !is_trusted(address, config) {
            return Some(address);
        }
    }
    None
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|s| s.ip())).or_else(|| bare?.parse().ok())
}

fn country(headers: &HeaderMap, config: &config::Http) -> Option<String> {
    if config.country_header.is_empty() {
        return None;
    }
    let name = headers.get(&config.country_header)?.to_str().ok()?.trim();
    let two_letters = name.len() == 2 && name.bytes().all(|b| b.is_ascii_alphabetic());
    let name = name.to_ascii_uppercase();
    (two_letters && name != "XX").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(peer: &str, headers: &[(&'static str, &'static str)]) -> Visitor {
        let mut config = config::load(None).unwrap().http;
        config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        config.country_header = "cf-ipcountry".to_owned();
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(*name, value.parse().unwrap());
        }
        let mut extensions = Extensions::new();
        extensions.insert(Peer(peer.parse().unwrap()));
        Visitor::of(&all, &extensions, &config)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        type Row = (&'static str, &'static [(&'static str, &'static str)], &'static str);
        let rows: [Row; 7] = [
            ("9.9.9.9:1", &[("x-forwarded-for", "1.2.3.4")], "9.9.9.9"),
            ("10.0.0.1:1", &[("x-forwarded-for", "1.2.3.4")], "1.2.3.4"),
            ("10.0.0.1:1", &[("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.2.2.2")], "1.2.3.4"),
            ("10.0.0.1:1", &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.2.3.4:99")], "1.2.3.4"),
            ("[::1]:1", &[("x-forwarded-for", "[2001:db8::1]")], "2001:db8::1"),
            ("[::ffff:10.0.0.1]:1", &[("x-forwarded-for", "1.2.3.4, nonsense")], "10.0.0.1"),
            ("10.0.0.1:1", &[], "10.0.0.1"),
        ];
        for (peer, headers, expected) in rows {
            assert_eq!(visitor(peer, headers).address.to_string(), expected);
        }
    }

    #[test]
    fn the_address_is_not_kept_where_it_must_not_be() {
        let german = visitor("10.0.0.1:1", &[("cf-ipcountry", "de"), ("x-forwarded-for", "1.2.3.4")]);
        assert_eq!((german.country.as_deref(), german.kept_address()), (Some("DE"), String::new()));
        let liar = visitor("9.9.9.9:1", &[("cf-ipcountry", "DE")]);
        assert_eq!((liar.country.as_deref(), liar.kept_address().as_str()), (None, "9.9.9.9"));
    }

    #[test]
    fn a_visitor_is_told_apart_by_every_part() {
        let one = visitor("9.9.9.9:1", &[("user-agent", "A")]);
        let other = visitor("9.9.9.9:1", &[("user-agent", "B")]);
        assert_eq!(one.hash("d", "k"), one.hash("d", "k"));
        assert_ne!(one.hash("d", "k"), other.hash("d", "k"));
        assert_ne!(one.hash("d", "k"), one.hash("dk", ""));
    }
}
