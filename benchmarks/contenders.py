"""Four ways to train the same VAE; each is an iterator that trains one whole epoch per `next`."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

BATCH, LATENT, LR, PIXELS = 128, 20, 1e-3, 784


class PerImage(torch.utils.data.Dataset):
    """What torchvision's MNIST with ToTensor does to each image, each time: array -> PIL -> array -> float tensor."""

    def __init__(self, images: Tensor) -> None:
        self.images, self.labels = images[:, 0], torch.zeros(len(images), dtype=torch.long)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.to_tensor(Image.fromarray(self.images[index].numpy())), int(self.labels[index])

    @staticmethod
    def to_tensor(picture: Image.Image) -> Tensor:
        """Step by step what ToTensor does, its checks included."""
        if not isinstance(picture, (Image.Image, np.ndarray)):
            raise TypeError("expected a picture")
        kind = {"I": np.int32, "I;16": np.int16, "F": np.float32}.get(picture.mode, np.uint8)
        pixels = torch.from_numpy(np.array(picture, kind, copy=True))
        pixels = pixels.view(picture.size[1], picture.size[0], len(picture.getbands()))
        pixels = pixels.permute((2, 0, 1)).contiguous()
        return pixels.to(torch.get_default_dtype()).div(255) if isinstance(pixels, torch.ByteTensor) else pixels


class ExampleVAE(nn.Module):
    """The MLP VAE of Kingma & Welling (2014) as textbooks write it: two heads, and a sigmoid before the loss."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encode, self.mean, self.log_var = (
            nn.Linear(PIXELS, width),
            nn.Linear(width, LATENT),
            nn.Linear(width, LATENT),
        )
        self.decode, self.out = nn.Linear(LATENT, width), nn.Linear(width, PIXELS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.encode(x.view(-1, PIXELS)))
        mean, log_var = self.mean(h), self.log_var(h)
        std = torch.exp(0.5 * log_var)
        z = mean + torch.randn_like(std) * std
        return torch.sigmoid(self.out(F.relu(self.decode(z)))), mean, log_var


def examples(images: Tensor, width: int, folder: Path, epochs: int) -> Iterator[float]:
    """The loop of pytorch/examples' vae, written afresh: a loader of transformed images, `.item()` in every step."""
    torch.manual_seed(0)
    loader = DataLoader(PerImage(images), batch_size=BATCH, shuffle=True)  # no workers, as there on the CPU
    model = ExampleVAE(width).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    for _ in range(epochs):
        total = 0.0
        for x, _label in loader:
            optimizer.zero_grad()
            reconstruction, mean, log_var = model(x)
            cross_entropy = F.binary_cross_entropy(reconstruction, x.view(-1, PIXELS), reduction="sum")
            kl = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
            loss = cross_entropy + kl
            loss.backward()
            total += loss.item()
            optimizer.step()
        yield total / len(images)


def pythae(images: Tensor, width: int, folder: Path, epochs: int) -> Iterator[float]:
    """pythae's own VAE, dataset and `BaseTrainer.train_step`; no progress bar, no checkpoints, no model copies."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import CallbackHandler, TrainingCallback

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Sequential(nn.Linear(PIXELS, width), nn.ReLU())
            self.mean, self.log_var = nn.Linear(width, LATENT), nn.Linear(width, LATENT)

        def forward(self, x: Tensor) -> ModelOutput:
            h = self.hidden(x.reshape(-1, PIXELS))
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(LATENT, width), nn.ReLU(), nn.Linear(width, PIXELS), nn.Sigmoid())

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.layers(z).reshape(-1, 1, 28, 28))

    for name in list(logging.root.manager.loggerDict):
        if name.startswith("pythae"):
            logging.getLogger(name).setLevel(logging.ERROR)
    torch.manual_seed(0)
    trainer = BaseTrainer(
        model=VAE(
            VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce"),
            Encoder(),
            Decoder(),
        ),
        train_dataset=BaseDataset(images.float() / 255, torch.zeros(len(images))),
        training_config=BaseTrainerConfig(
            output_dir=str(folder),
            per_device_train_batch_size=BATCH,
            learning_rate=LR,
            optimizer_cls="Adam",
            no_cuda=True,
        ),
    )
    trainer.set_optimizer()
    trainer.set_scheduler()
    trainer.callback_handler = CallbackHandler([TrainingCallback()], trainer.model)
    for epoch in range(1, epochs + 1):
        yield trainer.train_step(epoch)


def vaelab(images: Tensor, width: int, folder: Path, epochs: int, *, precision: str, compile: bool) -> Iterator[float]:
    """Our engine with its default options; includes its log, the averaged weights and a small validation split."""
    from vaelab.backbones.mlp import mlp
    from vaelab.data.source import Dataset, Split
    from vaelab.likelihoods.bernoulli import BernoulliLikelihood
    from vaelab.model import VAE
    from vaelab.objectives.elbo import ELBO
    from vaelab.posteriors.gaussian import GaussianPosterior
    from vaelab.priors.normal import NormalPrior
    from vaelab.runs.log import LogWriter
    from vaelab.training.checkpoint import save_model
    from vaelab.training.interrupt import Interrupt
    from vaelab.training.loop import Loop
    from vaelab.training.options import TrainOptions
    from vaelab.training.process_group import ProcessGroup

    torch.manual_seed(0)
    shape = (1, 28, 28)
    encoder, decoder = mlp(shape, LATENT, 1, width=width)
    model = VAE(NormalPrior(LATENT), GaussianPosterior(encoder, shape, LATENT), decoder, BernoulliLikelihood())
    few = Split(images[:BATCH])
    data = Dataset("benchmark", train=Split(images), valid=few, test=few)
    options = TrainOptions(
        steps=epochs * len(images) // BATCH,
        batch_size=BATCH,
        lr=LR,
        precision=precision,  # pyright: ignore[reportArgumentType]
        compile=compile,
        save_every=1_000_000,
    )
    log = LogWriter(folder / "log.jsonl")
    loop = Loop(model, ELBO(PIXELS), data, options, folder, ProcessGroup.join("cpu"), log, Interrupt())
    while not loop.over:
        learned, valid = loop.learn(), loop.validate()
        if loop.record(learned, valid, {}, score=-valid["loss"]):
            save_model(folder / "model.safetensors", loop.model, {})
        loop.save()
        yield learned["loss"]


ALL: dict[str, Callable[[Tensor, int, Path, int], Iterator[float]]] = {
    "examples": examples,
    "pythae": pythae,
    "eager": partial(vaelab, precision="float32", compile=False),
    "compiled": partial(vaelab, precision="bfloat16", compile=True),
}
OURS = ("eager", "compiled")
TITLES = {
    "examples": "pytorch/examples' loop",
    "pythae": "pythae 0.1.2 BaseTrainer",
    "eager": "vaelab, float32 eager",
    "compiled": "vaelab, bfloat16 + compile",
}
BARS = {
    ("examples", "eager"): 2.0,
    ("examples", "compiled"): 4.5,
    ("pythae", "eager"): 1.2,
    ("pythae", "compiled"): 2.5,
}
