//! Values come out right: the figures of a year of sales, and every record of hostile JSON.

mod a_year_of_sales;
mod hostile_json;
