WITH day AS (
    SELECT stock_code, product, units, revenue FROM sales_by_product WHERE sold_on = :day
),
total AS (
    SELECT SUM(revenue) AS revenue FROM day
)
SELECT
    day.stock_code,
    day.product,
    day.units,
    ROUND(CAST(day.revenue AS DOUBLE), 2) AS revenue,
    CAST(day.revenue AS DOUBLE) / NULLIF(CAST(total.revenue AS DOUBLE), 0) AS share
FROM day CROSS JOIN total
ORDER BY day.revenue DESC, day.stock_code
LIMIT 10
