-- A product is a stock code; of its descriptions the greatest is shown, so that it is always the same one.
SELECT
    sold_month,
    sold_on,
    stock_code,
    MAX(description) AS product,
    SUM(quantity) AS units,
    SUM(quantity * unit_price) AS revenue
FROM sales
GROUP BY sold_month, sold_on, stock_code
