//! What opens and resolves again and again is said to, once.

use super::super::tower::{ALL, Tower, orders};
use super::{ends_well, fails, turns};
use crate::crash::house::Backend;

fn tower() -> Tower {
    let tower = Tower::new(Backend::Memory, &[("orders", &orders("", ALL))]);
    tower.tick();
    tower.after(5);
    tower
}

#[test]
fn it_is_said_once_and_then_how_it_ended() {
    let tower = tower();
    turns(&tower, "orders", 10);
    let heads = tower.heads();
    assert_eq!(
        heads,
        [
            "🔴 orders: clean failed",
            "✅ Over after 5 min: orders: clean failed",
            "🔴 orders: clean failed",
            "✅ Over after 5 min: orders: clean failed",
            "🟠 Flapping: orders: clean failed",
        ]
    );
    // closed since five minutes; for six hours nothing turns
    tower.after(-10);
    tower.ticks(71, 5);
    assert_eq!(tower.messages(), []);
    tower.ticks(2, 5);
    assert_eq!(tower.heads(), ["✅ Over after 5 min: orders: clean failed"]);
    tower.ticks(300, 5);
    assert_eq!(tower.messages(), []);
    // a day later it is a cause like any other
    fails(&tower, "orders");
    tower.tick();
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
    assert_eq!(tower.incident("orders.clean.failed").id(), "orders.clean.failed#11");
}

#[test]
fn what_it_says_is_how_often() {
    let tower = tower();
    turns(&tower, "orders", 2);
    tower.messages();
    fails(&tower, "orders");
    tower.tick();
    let said = &tower.messages()[0];
    assert!(
        said.what.starts_with(
            "It has opened 3 times within a day. From now on nothing more is told of it until it has been steady for 6 hours.\n\
             a page is damaged"
        ),
        "{}",
        said.what
    );
    assert_eq!(said.incident(), "orders.clean.failed#3");
}

#[test]
fn if_it_stays_wrong_that_is_the_truth() {
    let tower = tower();
    turns(&tower, "orders", 4);
    fails(&tower, "orders");
    tower.tick();
    tower.messages();
    tower.ticks(71, 5);
    assert_eq!(tower.messages(), []);
    tower.after(5).tick();
    assert_eq!(tower.heads(), ["🔴 orders: clean failed"]);
    tower.after(5);
    ends_well(&tower, "orders");
    tower.tick();
    // and now it is told that it is over
    assert_eq!(tower.heads(), ["✅ Over after 6 h 5 min: orders: clean failed"]);
}

#[test]
fn a_failure_a_day_is_no_flapping() {
    let tower = tower();
    for _ in 0..30 {
        fails(&tower, "orders");
        tower.tick();
        tower.after(60);
        ends_well(&tower, "orders");
        tower.tick();
        tower.after(23 * 60);
    }
    let heads = tower.heads();
    assert_eq!(heads.len(), 60);
    assert!(heads.chunks(2).all(|pair| pair[0].starts_with('🔴') && pair[1].starts_with('✅')), "{heads:#?}");
}
