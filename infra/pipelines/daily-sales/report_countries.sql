WITH day AS (
    SELECT country, orders, units, revenue FROM sales_by_country WHERE sold_on = :day
),
total AS (
    SELECT SUM(revenue) AS revenue FROM day
)
SELECT
    day.country,
    day.orders,
    day.units,
    ROUND(CAST(day.revenue AS DOUBLE), 2) AS revenue,
    CAST(day.revenue AS DOUBLE) / NULLIF(CAST(total.revenue AS DOUBLE), 0) AS share
FROM day CROSS JOIN total
ORDER BY day.revenue DESC, day.country
