-- One row per day and currency; a cancelled order is counted, but brings no revenue.
SELECT
    ordered_on,
    currency,
    COUNT(*) AS orders,
    COUNT(CASE WHEN status = 'cancelled' THEN 1 END) AS cancelled,
    SUM(CASE WHEN status <> 'cancelled' THEN amount END) AS revenue,
    COUNT(DISTINCT customer_id) AS customers
FROM orders
GROUP BY ordered_on, currency
