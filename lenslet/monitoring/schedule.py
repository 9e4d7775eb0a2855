"""A CloudFormation template with daily alarms for one model, from the metrics that its function writes anyway."""

import json
from typing import Any

import numpy as np
from scipy.stats import norm

from lenslet.evaluation.reference import Reference
from lenslet.inference.artifact import Artifact
from lenslet.monitoring.drift import DriftLimits

DAY_S = 86_400
# Metric of the function, 0 or 1 for each photo → what its alarm says.
SHARES = {
    "Uncertain": "The model was uncertain about more photos of a day than of its reference photos",
    "OutOfDistribution": "More photos of a day than of the reference photos were unlike the training photos",
}


def alarms_template(artifact: Artifact, reference: Reference, stage: str, limits: DriftLimits) -> str:
    """JSON of a template whose alarms go to the stage's topic; both together have the false alarms of `limits`."""
    alarms = {
        f"{metric}Drift": _alarm(metric, share, reference.photos, stage, limits)
        for metric, share in reference_shares(artifact, reference).items()
    }
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Drift alarms of lenslet-{stage} for model {artifact.name} {artifact.version}",
        "Resources": alarms,
    }
    return json.dumps(template, indent=2)


def reference_shares(artifact: Artifact, reference: Reference) -> dict[str, float]:
    """Key of SHARES → the share of the validation photos, never 0 or 1."""
    levels = np.linspace(0, 1, len(reference.quantiles["confidence"]))
    # Above this confidence no other label reaches the threshold, so that the answer is certain.
    sure = 1 - min(artifact.conformal_alpha, artifact.conformal_threshold)
    uncertain = np.interp(sure, reference.quantiles["confidence"], levels)
    foreign = 1 - np.interp(artifact.ood_threshold, reference.quantiles["ood_score"], levels)
    least = 1 / (reference.photos + 2)
    return {
        "Uncertain": float(np.clip(uncertain, least, 1 - least)),
        "OutOfDistribution": float(np.clip(foreign, least, 1 - least)),
    }


def _alarm(metric: str, share: float, photos: int, stage: str, limits: DriftLimits) -> dict[str, Any]:
    """One-sided test of two shares, whose square is compared, because CloudWatch has no square root."""
    z = float(norm.isf(limits.alpha / limits.windows / len(SHARES)))
    variance = f"({share * (1 - share):.6f} * (1 / photos + {1 / photos:.6f}))"
    expression = (
        f"IF(photos >= {limits.min_answers} AND share - {share:.6f} >= {limits.min_distance:g}, "
        f"(share - {share:.6f}) * (share - {share:.6f}) / {variance}, 0)"
    )
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": f"lenslet-{stage}-drift-{metric.lower()}",
            "AlarmDescription": f"{SHARES[metric]} ({share:.1%}); lenslet drift on the log says more.",
            "Metrics": [
                {"Id": "statistic", "Label": "z², against the reference photos", "Expression": expression},
                _daily("share", metric, "Average", stage),
                _daily("photos", metric, "SampleCount", stage),
            ],
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": round(z * z, 2),
            "EvaluationPeriods": 1,
            "TreatMissingData": "notBreaching",
            "AlarmActions": [
                {
                    "Fn::Sub": "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:"
                    f"lenslet-{stage}-alarms"
                }
            ],
        },
    }


def _daily(identity: str, metric: str, statistic: str, stage: str) -> dict[str, Any]:
    dimensions = [{"Name": "service", "Value": f"lenslet-{stage}"}]
    named = {"Namespace": "Lenslet", "MetricName": metric, "Dimensions": dimensions}
    return {
        "Id": identity,
        "ReturnData": False,
        "MetricStat": {"Stat": statistic, "Period": DAY_S, "Metric": named},
    }
