//! Synthetic sales and orders of the demo, the same in every run.

const PRODUCTS: [(&str, &str, &str); 8] = [
    ("22423", "REGENCY CAKESTAND 3 TIER", "12.75"),
    ("85123A", "WHITE HANGING HEART T-LIGHT HOLDER", "2.95"),
    ("47566", "PARTY BUNTING", "4.95"),
    ("84879", "ASSORTED COLOUR BIRD ORNAMENT", "1.69"),
    ("23084", "RABBIT NIGHT LIGHT", "2.08"),
    ("22720", "SET OF 3 CAKE TINS PANTRY DESIGN", "4.95"),
    ("POST", "POSTAGE", "18.00"),
    ("21212", "PACK OF 72 RETROSPOT CAKE CASES", "0.55"),
];
const COUNTRIES: [&str; 6] = ["United Kingdom", "United Kingdom", "United Kingdom", "Germany", "France", "EIRE"];

/// A pseudo-random generator, seeded by the day.
struct Chance(u64);

impl Chance {
    fn for_day(day: &str) -> Chance {
        Chance(day.bytes().fold(17, |state, byte| state.wrapping_mul(31).wrapping_add(u64::from(byte))))
    }

    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

/// A day of sales as CSV, with the problems of real files: returns, empty customers, prices that are words, a truncated line.
pub(super) fn sales_of(day: &str) -> String {
    let mut text = String::from("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n");
    let mut chance = Chance::for_day(day);
    let mut next = |below: usize| chance.next(below);
    for order in 0..60 {
        let (hour, minute) = (8 + order / 6, next(60));
        let returned = next(12) == 0;
        let invoice = format!("{}{}", if returned { "C" } else { "" }, 600_000 + next(1000) + order * 1000);
        let customer = if next(4) == 0 { String::new() } else { format!("{}.0", 12_000 + next(3000)) };
        let country = COUNTRIES[next(COUNTRIES.len())];
        for _ in 0..=next(5) {
            let (code, name, price) = PRODUCTS[next(PRODUCTS.len())];
            let quantity = (1 + next(12)) as i64 * if returned { -1 } else { 1 };
            let price = if next(40) == 0 { "n/a" } else { price };
            text.push_str(&format!(
                "{invoice},{code},{name},{quantity},{day} {hour:02}:{minute:02}:00,{price},{customer},{country}\n"
            ));
        }
    }
    text.push_str("699999,22423,\"A LINE THAT WAS TORN,3,");
    text.push_str(day);
    text.push('\n');
    text
}

/// An order of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub id: usize,
    pub created_at: String,
    /// Sorts by time.
    pub updated_at: String,
    customer: usize,
    country: &'static str,
    amount: String,
    status: &'static str,
}

impl Order {
    pub(super) fn json(&self) -> String {
        let Order { id, created_at, updated_at, customer, country, amount, status } = self;
        format!(
            "{{\"id\":{id},\"created_at\":\"{created_at}\",\"updated_at\":\"{updated_at}\",\"customer\":{{\"id\":{customer},\
             \"country\":\"{country}\"}},\"amount\":\"{amount}\",\"currency\":\"GBP\",\"status\":\"{status}\"}}"
        )
    }
}

/// The days of the orders, each with the id of its first order.
const DAYS: [(&str, usize); 2] = [("2026-03-02", 700_000), ("2026-03-03", 700_100)];
const AMOUNT_OF: usize = 17;
const SHIPPED: usize = 5;

/// All orders at the end of a day, sorted by the time of their last change. One has an amount that is a word; one of the first day is
/// shipped on the second.
pub(super) fn orders_by(day: &str) -> Vec<Order> {
    let days = DAYS.iter().filter(|(known, _)| *known <= day);
    let mut orders: Vec<Order> = days.flat_map(|(day, first)| orders_of(day, *first)).collect();
    let (first_day, first) = DAYS[0];
    for order in &mut orders {
        if order.id == first + AMOUNT_OF {
            order.amount = "twelve".into();
        }
        if order.id == first + SHIPPED && day > first_day {
            (order.status, order.updated_at) = ("shipped", format!("{day}T16:20:00Z"));
        }
    }
    orders.sort_by(|a, b| (&a.updated_at, a.id).cmp(&(&b.updated_at, b.id)));
    orders
}

fn orders_of(day: &str, first: usize) -> Vec<Order> {
    let mut chance = Chance::for_day(day);
    let order = |nth: usize| {
        let (hour, minute) = (8 + nth / 6, chance.next(60));
        let pence = 500 + chance.next(20_000);
        Order {
            id: first + nth,
            created_at: format!("{day}T{hour:02}:{minute:02}:00Z"),
            updated_at: format!("{day}T{hour:02}:{minute:02}:30Z"),
            customer: 12_000 + chance.next(3000),
            country: ["GB", "GB", "DE", "FR", "IE"][chance.next(5)],
            amount: format!("{}.{:02}", pence / 100, pence % 100),
            status: ["paid", "paid", "open", "cancelled"][chance.next(4)],
        }
    };
    (0..70).map(order).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_day_changes_one_order_of_the_first() {
        let [first, both] = DAYS.map(|(day, _)| orders_by(day));
        assert_eq!((first.len(), both.len()), (70, 140));
        let changed: Vec<_> = first.iter().filter(|order| !both.contains(order)).collect();
        assert_eq!(changed.iter().map(|order| order.id).collect::<Vec<_>>(), [700_005]);
        let now = both.iter().find(|order| order.id == 700_005).unwrap();
        assert!(now.updated_at > first.last().unwrap().updated_at && now.created_at == changed[0].created_at);
        for order in &both {
            let read: serde_json::Value = serde_json::from_str(&order.json()).unwrap();
            assert_eq!((read["id"].as_u64(), read["currency"].as_str()), (Some(order.id as u64), Some("GBP")));
        }
    }
}
