SELECT hour, orders, units, ROUND(CAST(revenue AS DOUBLE), 2) AS revenue
FROM sales_by_hour
WHERE sold_on = :day
ORDER BY hour
