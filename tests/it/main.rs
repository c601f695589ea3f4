mod layers;
mod bolt_writer;
mod corruption;
