"""The Pricing API, for SageMaker training."""

import json

# us-east-1, USD an hour for training, from AWS's price list as of June to August 2026.
PRICES = {
    "ml.m5.xlarge": 0.23,
    "ml.g4dn.xlarge": 0.7364,
    "ml.g5.xlarge": 1.408,
    "ml.g5.2xlarge": 1.515,
    "ml.g5.12xlarge": 7.09,
    "ml.g6.xlarge": 1.127,
}


def products(values: dict) -> dict:
    """pricing:GetProducts: each product is JSON in a string."""
    wanted = {each["Field"]: each["Value"] for each in values.get("Filters", [])}
    return {
        "FormatVersion": "aws_v1",
        "PriceList": [
            json.dumps(product)
            for product in map(_product, PRICES)
            if all(
                product["product"]["attributes"].get(field) == value
                for field, value in wanted.items()
                if field != "productFamily"
            )
        ],
    }


def _product(kind: str) -> dict:
    return {
        "serviceCode": "AmazonSageMaker",
        "product": {
            "productFamily": "ML Instance",
            "attributes": {
                "instanceName": kind,
                "instanceType": f"{kind}-Training",
                "component": "Training",
                "regionCode": "us-east-1",
            },
        },
        "terms": {
            "OnDemand": {
                "T": {
                    "priceDimensions": {
                        "D": {"unit": "Hrs", "pricePerUnit": {"USD": f"{PRICES[kind]}"}}
                    }
                }
            }
        },
    }
