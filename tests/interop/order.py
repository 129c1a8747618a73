#!/usr/bin/env python3
"""Places an order through the gateway, ships it once it is reserved, and watches it to its end.

    order.py ORDER [--product ID] [--quantity N]

Prints every state that it sees, as JSON. SHOP_GATEWAY says where the gateway is. The client's code
is generated from the store's contracts, into a directory that Python then looks in:

    python -m grpc_tools.protoc -I proto --python_out=DIR --grpc_python_out=DIR \\
        shop/v1/order.proto shop/v1/order_service.proto google/rpc/status.proto
    PYTHONPATH=DIR order.py ORDER
"""

import argparse
import json
import os
import sys
import uuid

import grpc
from shop.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc

# How long a call may take, in seconds, and how long the order is watched.
CALL, WATCH = 10, 60


def main():
    parser = argparse.ArgumentParser(description="Places, ships and watches an order")
    parser.add_argument("order", help="its id: the first content under an id wins")
    parser.add_argument("--product", default="PRODUCT_001")
    parser.add_argument("--quantity", type=int, default=1)
    arguments = parser.parse_args()

    gateway = os.environ.get("SHOP_GATEWAY", "http://127.0.0.1:8900").removeprefix("http://")
    with grpc.insecure_channel(gateway) as channel:
        service = order_service_pb2_grpc.OrderServiceStub(channel)
        try:
            run(service, arguments)
        except grpc.RpcError as error:
            # After UNAVAILABLE and DEADLINE_EXCEEDED nobody knows whether it was accepted: the same
            # call with the same ids is safe, its effect happens once.
            sys.exit(f"{error.code().name}: {error.details()}")


def run(service, arguments):
    """Answers are accepted commands; what came of them is seen by watching."""
    service.PlaceOrder(
        order_service_pb2.PlaceOrderRequest(
            request_id=str(uuid.uuid4()),
            order=order_pb2.Order(
                order_id=arguments.order,
                customer_id="CUSTOMER_001",
                currency="GBP",
                lines=[
                    order_pb2.OrderLine(
                        product_id=arguments.product,
                        quantity=arguments.quantity,
                        unit_price_minor=1000,
                    )
                ],
            ),
        ),
        timeout=CALL,
    )
    watch = order_service_pb2.WatchOrderRequest(order_id=arguments.order)
    # It ends by itself after a terminal status.
    for answer in service.WatchOrder(watch, timeout=WATCH):
        order = answer.order
        status = order_pb2.Order.Status.Name(order.status)
        print(
            json.dumps({"order_id": order.order_id, "version": order.version, "status": status}),
            flush=True,
        )
        if order.status == order_pb2.Order.RESERVED:
            service.CompleteOrder(
                order_service_pb2.CompleteOrderRequest(order_id=order.order_id), timeout=CALL
            )


if __name__ == "__main__":
    main()
