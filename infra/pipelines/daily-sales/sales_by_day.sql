-- One row per day: an order is an invoice, a cancellation an invoice whose number begins with C.
SELECT
    sold_month,
    sold_on,
    SUM(quantity * unit_price) AS revenue,
    COUNT(DISTINCT CASE WHEN invoice NOT LIKE 'C%' THEN invoice END) AS orders,
    SUM(quantity) AS units,
    COUNT(DISTINCT CASE WHEN invoice LIKE 'C%' THEN invoice END) AS cancellations,
    COUNT(*) AS lines
FROM sales
GROUP BY sold_month, sold_on
