//! A name for a customer who came without one: adjective, colour, animal.
//!
//! Derived from a hash of workspace and external id, so API and worker agree without talking and a
//! customer keeps the name on every read. Not unique: 162 × 52 × 170 names exist.
//!
//! **Invariant:** the same customer always has the same name (a golden test holds it).

use uuid::Uuid;

use super::key::fnv1a;

/// The stable name of a customer, such as `Big Red Caribou`.
#[must_use]
pub fn stable_name(workspace_id: Uuid, customer_external_id: &str) -> String {
    let bytes = workspace_id.as_bytes().iter().chain([&0x1E]).chain(customer_external_id.as_bytes());
    let hash = fnv1a(bytes.copied());
    let words = [(ADJECTIVES, hash), (COLOURS, hash >> 20), (ANIMALS, hash >> 40)];
    words.map(|(list, bits)| pick(list, bits)).join(" ")
}

/// The name to show: the given one, else the e-mail address, else the stable name; empty counts as not given.
#[must_use]
pub fn display_name(name: Option<&str>, email: Option<&str>, workspace_id: Uuid, customer_external_id: &str) -> String {
    let given = name.filter(|n| !n.is_empty()).or(email.filter(|e| !e.is_empty()));
    given.map_or_else(|| stable_name(workspace_id, customer_external_id), str::to_owned)
}

fn pick(list: &'static str, bits: u64) -> &'static str {
    let count = list.split(' ').count().max(1);
    let n = usize::try_from(bits & 0xF_FFFF).unwrap_or(0) % count;
    list.split(' ').nth(n).unwrap_or_default()
}

const ADJECTIVES: &str = "\
    Able Agile Alert Amber Ample Apt Arctic Ardent Autumn Avid Balmy Big Blithe Bold Bouncy Brave \
    Breezy Brief Bright Brisk Broad Busy Calm Candid Canny Careful Cheery Chief Civil Clear Clever \
    Cosy Crisp Curious Daring Dapper Deep Deft Dewy Eager Early Earnest Easy Elder Even Exact Fabled \
    Fair Famed Fast Fine Firm Fleet Fluent Fond Frank Free Fresh Frosty Full Gallant Gentle Giddy \
    Glad Gleaming Golden Good Grand Great Happy Hardy Hearty High Honest Humble Ideal Jaunty Jolly \
    Jovial Keen Kind Lasting Late Lean Light Lively Long Loyal Lucid Lucky Lunar Major Mellow Merry \
    Mighty Mild Misty Modern Modest Neat Nifty Nimble Noble Novel Open Patient Placid Plucky Polar \
    Polite Prime Proud Prudent Quick Quiet Rapid Rare Ready Regal Robust Rustic Sage Serene Sharp \
    Shiny Silent Sleek Small Smooth Snowy Sober Solar Solid Sound Spry Stable Steady Stellar Still \
    Stout Sturdy Sunny Sure Swift Tall Tidy Tranquil True Trusty Upbeat Valiant Vast Vivid Warm Wary \
    Wild Winter Wise Witty Worthy Young Zesty";

const COLOURS: &str = "\
    Amber Apricot Aqua Azure Beige Black Blue Bronze Brown Cobalt Copper Coral Cream Crimson Cyan \
    Emerald Fuchsia Gold Gray Green Indigo Ivory Jade Lavender Lilac Lime Magenta Maroon Mauve Mint \
    Navy Ochre Olive Orange Peach Pink Plum Purple Red Rose Ruby Rust Salmon Sapphire Scarlet Silver \
    Tan Teal Turquoise Violet White Yellow";

const ANIMALS: &str = "\
    Albatross Alpaca Antelope Armadillo Badger Barracuda Beaver Beetle Bison Bobcat Buffalo \
    Bullfinch Butterfly Camel Canary Capybara Caribou Cassowary Chamois Cheetah Chinchilla Chipmunk \
    Cicada Condor Cormorant Cougar Coyote Crane Cricket Curlew Deer Dingo Dolphin Donkey Dormouse \
    Dragonfly Eagle Echidna Egret Eland Elephant Elk Emu Falcon Ferret Finch Firefly Flamingo Fox \
    Gannet Gazelle Gecko Gerbil Gibbon Giraffe Goldfinch Goose Grouse Gull Hamster Hare Hawk \
    Hedgehog Heron Hornbill Hyena Ibex Ibis Iguana Impala Jackal Jaguar Jay Kangaroo Kestrel \
    Kingfisher Kite Kiwi Koala Kudu Lark Lemming Lemur Leopard Lion Lizard Llama Lynx Macaw Magpie \
    Mallard Manatee Marlin Marmot Marten Meerkat Mole Mongoose Moose Narwhal Newt Nightingale Ocelot \
    Octopus Okapi Opossum Orca Oriole Oryx Osprey Ostrich Otter Owl Panda Pangolin Panther Parrot \
    Partridge Pelican Penguin Pheasant Pika Plover Porcupine Porpoise Puffin Puma Quail Quokka \
    Rabbit Raccoon Raven Reindeer Robin Sable Salamander Seal Serval Shrew Skink Skylark Sparrow \
    Squirrel Starling Stoat Stork Swallow Swan Tamarin Tapir Tern Thrush Toucan Trout Turtle Vicuna \
    Viper Vole Wallaby Walrus Warbler Weasel Whale Wolf Wolverine Wombat Woodpecker Wren Yak Zebra";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_three_capitalised_words_and_stay() {
        let workspace = Uuid::from_u128(1);
        for n in 0..1000 {
            let name = stable_name(workspace, &n.to_string());
            let words: Vec<&str> = name.split(' ').collect();
            assert_eq!(words.len(), 3, "{name}");
            assert!(
                words.iter().all(|w| w.len() > 1
                    && w.starts_with(|c: char| c.is_ascii_uppercase())
                    && w.bytes().skip(1).all(|b| b.is_ascii_lowercase())),
                "{name}"
            );
        }
        assert_eq!(stable_name(workspace, "customer"), GOLDEN);
        assert_eq!(display_name(Some(""), Some("a@b.co"), workspace, "customer"), "a@b.co");
    }

    const GOLDEN: &str = "Able Peach Raven";
}
