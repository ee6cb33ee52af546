//! Which visitors are programs: their clicks are answered and never stored.
//!
//! Told by the user agent alone, in any case. The list is broad on purpose, as the contract's is: HTTP
//! libraries are programs too, so a server that sends clicks must send a browser's user agent. Names of
//! companies whose phone applications open pages for people (`LinkedIn`, Pinterest, Slack) stand here
//! only with what their fetchers add.
//!
//! **Invariant:** words are lower case; one too many loses clicks of people, so each needs its reason to be here.

const WORDS: &[&str] = &[
    // What programs call themselves.
    "bot",
    "crawl",
    "spider",
    "scrape",
    "http",
    "fetch",
    "slurp",
    "archiver",
    "preview",
    "validator",
    "monitor",
    "checker",
    "scanner",
    "headless",
    "phantomjs",
    "puppeteer",
    "playwright",
    "selenium",
    "lighthouse",
    "feedparser",
    "rss",
    // Libraries and tools.
    "curl",
    "wget",
    "python",
    "node",
    "ruby",
    "perl/",
    "java/",
    "go-http-client",
    "okhttp",
    "axios",
    "guzzle",
    "postman",
    "insomnia",
    "apachebench",
    "libwww",
    // Search engines.
    "google",
    "bing",
    "msn",
    "yandex",
    "baidu",
    "sogou",
    "duckduckgo",
    "ecosia",
    // Link previews.
    "whatsapp",
    "facebookexternalhit",
    "facebookcatalog",
    "meta-external",
    "skypeuri",
    "embedly",
    "quora link",
    "outbrain",
    "vkshare",
    "iframely",
    "flipboard",
    "tumblr",
    "bitly",
    "slack-imgproxy",
    "snap url",
    "viber",
    "mastodon",
    "redditbot",
    "linkedinbot",
    // Readers of pages for models and for search-engine people.
    "chatgpt",
    "claude-",
    "anthropic",
    "perplexity",
    "cohere",
    "bytedance",
    "ahrefs",
    "semrush",
    "screaming frog",
    "dataforseo",
    "barkrowler",
    "petalsearch",
    // Watchers.
    "pingdom",
    "uptime",
    "statuscake",
    "newrelic",
    "datadog",
    "site24x7",
    "gtmetrix",
    "freshping",
];

/// Whether a user agent is a program's.
pub(super) fn is_bot(user_agent: &str) -> bool {
    if user_agent.contains("Google/google") {
        return false;
    }
    let lower = user_agent.to_ascii_lowercase();
    WORDS.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_people() {
        for program in [
            "curl/8.5.0",
            "python-requests/2.31",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "node",
            "WhatsApp/2.23",
            "Mozilla/5.0 (X11; Linux) HeadlessChrome/120",
        ] {
            assert!(is_bot(program), "{program}");
        }
        for person in [
            "",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Safari/605.1.15",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Twitter for iPhone",
            "Mozilla/5.0 (Android 14; Mobile; rv:120.0) Gecko/120.0 Firefox/120.0",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 [LinkedInApp]/9.29",
            "SomeApp Google/google device",
        ] {
            assert!(!is_bot(person), "{person}");
        }
    }
}
