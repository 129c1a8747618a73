#!/usr/bin/env bash
# Places an order through the gateway, ships it once it is reserved, and watches it to its end, with
# grpcurl, which learns the calls from the gateway itself (reflection).
#
#   order.sh ORDER [PRODUCT [QUANTITY]]
#
# Prints every state that it sees, as JSON. SHOP_GATEWAY says where the gateway is, GRPCURL where
# grpcurl is; jq is needed too.
set -euo pipefail

if [ $# = 0 ]; then
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
fi
order=$1 product=${2:-PRODUCT_001} quantity=${3:-1}
gateway=${SHOP_GATEWAY:-http://127.0.0.1:8900}

# call SECONDS METHOD: the request is read from standard input.
call() {
    "${GRPCURL:-grpcurl}" -plaintext -max-time "$1" -d @ \
        "${gateway#http://}" "shop.v1.OrderService/$2"
}

jq -n --arg order "$order" --arg product "$product" --argjson quantity "$quantity" '{order: {
    order_id: $order, customer_id: "CUSTOMER_001", currency: "GBP",
    lines: [{product_id: $product, quantity: $quantity, unit_price_minor: 1000}]}}' |
    call 10 PlaceOrder >/dev/null

# The stream ends by itself after a terminal status.
jq -n --arg order "$order" '{order_id: $order}' | call 60 WatchOrder |
    jq --unbuffered -c '.order | {order_id: .orderId, version: .version | tonumber, status}' |
    while read -r state; do
        echo "$state"
        if [ "$(jq -r .status <<<"$state")" = RESERVED ]; then
            jq '{order_id}' <<<"$state" | call 10 CompleteOrder >/dev/null
        fi
    done
