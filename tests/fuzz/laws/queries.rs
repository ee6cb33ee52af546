//! Laws of request targets and of the headers that say who is calling.
//!
//! **Invariant:** a stranger's header never moves an address, and no text that is searched for holds a NUL.

use std::net::{IpAddr, SocketAddr};

use leadline::config;
use leadline::http::readers;
use leadline::store::{CustomerName, LinkName};

use super::{refused, storable};

/// Query strings, paging, filters, ids in paths.
pub(super) fn target(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let in_query = format!("/links?{text}");
    for by_creation in [true, false] {
        match readers::page(&in_query, by_creation) {
            Some(Ok(page)) => {
                assert!((1..=100).contains(&page.limit) && (0..=100_000).contains(&page.offset), "{page:?}");
                assert!(by_creation || (page.above.is_nil() && page.below.is_max()), "{page:?}");
            }
            Some(Err(problem)) => refused(&problem),
            None => {}
        }
    }
    match readers::link_filter(&in_query) {
        Some(Ok(filter)) => {
            let texts = [filter.domain, filter.search, filter.tenant_id, filter.partner_id, filter.external_id];
            texts.iter().flatten().for_each(|text| storable("a filter", text, usize::MAX));
        }
        Some(Err(problem)) => refused(&problem),
        None => {}
    }
    if let Some(filter) = readers::customer_filter(&in_query) {
        let texts = [filter.email, filter.search, filter.country];
        texts.iter().flatten().for_each(|text| storable("a filter", text, usize::MAX));
    }
    for target in [format!("/links/{text}"), format!("/api/customers/{text}"), text.into_owned()] {
        if let Some(LinkName::External(name)) = readers::named_link(&target) {
            storable("a link's name", &name, usize::MAX);
        }
        if let Some(CustomerName::External(name)) = readers::named_customer(&target) {
            storable("a customer's name", &name, usize::MAX);
        }
    }
}

/// Visitors, bots, origins and request ids; a line per header, the first byte of all chooses the peer.
pub(super) fn visitor(bytes: &[u8]) {
    let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
    let [forwarded, country, agent, rest] = [(); 4].map(|()| lines.next().unwrap_or_default());
    let headers =
        [("x-forwarded-for", forwarded), ("cf-country", country), ("user-agent", agent), ("x-forwarded-for", rest)];
    let config =
        config::read("[http]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1/128\"]\ncountry_header = \"cf-country\"")
            .unwrap()
            .http;
    let stranger: SocketAddr = "9.9.9.9:1".parse().unwrap();
    let (address, home, agent_text) = readers::visitor(stranger, &headers, &config);
    assert_eq!((address, home), (IpAddr::from([9, 9, 9, 9]), None), "a stranger's headers were believed");
    assert!(agent_text.len() <= 1024);
    assert!(!readers::is_bot("") && (agent_text.len() >= 3 || !readers::is_bot(&agent_text)), "{agent_text:?}");
    let proxy: SocketAddr = "[::ffff:10.1.2.3]:1".parse().unwrap();
    let (address, home, _) = readers::visitor(proxy, &headers, &config);
    assert_eq!(address, address.to_canonical());
    assert!(home.is_none_or(|code| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase())));
    let own = ["example.com".to_owned(), "*.dub.sh".to_owned()];
    if readers::passes(&own, rest) {
        let text = String::from_utf8_lossy(rest).to_ascii_lowercase();
        let unmasked = text.replace(['\t', ' '], "");
        assert!(!unmasked.is_empty(), "nothing passed as an allowed page");
    }
    let id = readers::request_id(rest);
    assert!((1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()), "{id:?}");
}
