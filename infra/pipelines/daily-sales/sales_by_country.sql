SELECT
    sold_month,
    sold_on,
    country,
    COUNT(DISTINCT CASE WHEN invoice NOT LIKE 'C%' THEN invoice END) AS orders,
    SUM(quantity) AS units,
    SUM(quantity * unit_price) AS revenue
FROM sales
GROUP BY sold_month, sold_on, country
